"""exshadow doctor | bench"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.opening import make_reporter, open_desk
from exshadow.model import Json
from exshadow.names import format_size


def doctor() -> int:
    """Show what this machine can do: loop, SIMD, how each plex is driven, tools found.

    Example: exshadow doctor
    """
    from exshadow.service import machine

    with open_desk() as desk:
        document = machine.examine(desk)
    return output.show(document, _doctor_text(document["doctor"]))


def _doctor_text(facts: Json) -> str:
    lines = [f"exshadow {facts['exshadow']}"]
    for title in ("system", "engine", "state"):
        lines += ["", f"{title}:"]
        lines += [f"  {name:<16} {_spelled(value)}" for name, value in facts[title].items()]
    lines += ["", "plexes:"]
    for one in facts["plexes"]:
        how = ", ".join(
            f"{name} {_spelled(value)}"
            for name, value in one.items()
            if name not in ("volume", "label", "path")
        )
        lines.append(f"  {one['volume']}/{one['label']}  {one['path']}: {how}")
    lines += ["", "tools:"]
    for tool in facts["tools"]:
        lines.append(f"  {tool['name']:<16} {tool['path'] or 'not found'}  ({tool['use']})")
    lines += ["", *(f"problem: {text}" for text in facts["problems"] or ["none"])]
    return "\n".join(lines)


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def bench(
    *,
    folder: Annotated[
        str | None, Parameter(name="--dir", help="Where the two files go; the temporary folder.")
    ] = None,
    size: Annotated[
        str, Parameter(show_default=True, help="Size of each file (K, M, G, T).")
    ] = "1G",
    rounds: Annotated[
        int, Parameter(show_default=True, help="Interleaved rounds; the median counts.")
    ] = 3,
    direct: Annotated[
        bool, Parameter(negative="--cached", help="O_DIRECT where there is, or the page cache.")
    ] = True,
) -> int:
    """Measure the copier beside qemu-img convert, and the change map.

    Example: exshadow bench --dir /mnt/fast --size 4G --rounds 7
    """
    from exshadow.names import parse_size
    from exshadow.service import bench as benches

    settings = benches.Settings(folder, parse_size(size), rounds, direct)
    reporter = make_reporter()
    try:
        document = benches.run(settings, reporter)
    finally:
        reporter.close()
    return output.show(document, _bench_text(document["bench"]))


def _bench_text(facts: Json) -> str:
    rows = [
        (
            one["name"],
            f"{one['seconds']:.3f}",
            f"{format_size(int(one['bytes_per_second']))}/s",
            f"{one['cpu_seconds_per_gib']:.3f}",
            f"{one['times_qemu_img']:.2f}" if "times_qemu_img" in one else "",
        )
        for one in facts["copy"]
    ]
    titles = ("COPY", "SECONDS", "RATE", "CPU S/GIB", "x QEMU-IMG")
    lines = [
        f"{format_size(facts['size'])} in {facts['folder']} ({facts['file_system']}), "
        f"median of {facts['rounds']}",
        output.table(titles, rows, numbers=titles[1:]),
        "",
        "change map:",
    ]
    for one in facts["change_map"]:
        figures = ", ".join(
            f"{name} {value:.4g}" for name, value in one.items() if name not in ("size", "marks")
        )
        lines.append(f"  {format_size(one['size'])}, {one['marks']} marks: {figures}")
    return "\n".join(lines)
