"""The proof for PostgreSQL: the WAL of today reaches from the data folder's redo point to its end.

A data folder of a split recovers from its last checkpoint. The end of WAL and a damage in its last
segment look alike; a break before the last segment that was written is found.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import UnsupportedError
from exshadow.service.checks import programs
from exshadow.service.checks.bench import Bench
from exshadow.service.checks.evidence import clipped
from exshadow.service.checks.ground import Outcome, Unsound

_PROGRAMS = Path("/usr/lib/postgresql")
_PAGE = struct.Struct("<HHIQIIQII")  # of xlog_internal.h: a segment's first page
_LONG_HEADER = 0x2
_TIMELINE = re.compile(r"^[0-9A-F]{8}\.history$")
_NAME = re.compile(r"^[0-9A-F]{24}$")


@dataclass(frozen=True, slots=True)
class _Control:
    """What pg_control says: where recovery begins, and whose WAL it needs."""

    redo: int
    timeline: int
    system: int
    segment_size: int
    state: str

    def name(self, number: int) -> str:
        """Of the segment with this number."""
        per_file = (1 << 32) // self.segment_size
        return f"{self.timeline:08X}{number // per_file:08X}{number % per_file:08X}"


def judge(bench: Bench, data: list[Path], wal: list[Path]) -> Outcome:
    """Every data folder with the folder of segments that is its own."""
    found = [_judge(bench, folder, wal) for folder in data]
    ok = all(one.ok for one in found)
    detail = "; ".join(one.detail for one in found if one.ok == ok)
    return Outcome(ok, detail, {"clusters": [one.evidence for one in found]})


def _judge(bench: Bench, data: Path, wal: list[Path]) -> Outcome:
    name = str(data.relative_to(bench.tree))
    version = (data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    tools = _PROGRAMS / version / "bin"
    if not (tools / "pg_waldump").exists():
        raise UnsupportedError(
            f"pg_waldump of PostgreSQL {version} is not installed",
            hint=f"apt-get install postgresql-{version}",
        )
    if (data / "pg_wal").is_dir() and not (data / "pg_wal").is_symlink():
        text = f"rule: logs and databases share a volume: {name} has its WAL within"
        return Outcome(False, text, {"cluster": name})
    control = _control(bench, tools, data)
    if control.state.startswith("shut down") and not (data / "backup_label").exists():
        text = f"rule: the server replays nothing onto a data folder that was shut down: {name} was"
        return Outcome(False, text, {"cluster": name, "state": control.state})
    for folder in wal:
        if later := _later_timeline(folder, control):
            text = (
                f"rule: {name} recovers in timeline {control.timeline}; the server has gone on in "
                f"timeline {later}"
            )
            return Outcome(False, text, {"cluster": name, "timeline": control.timeline})
        written = _written(folder, control)
        if written:
            return _range(bench, tools, control, name, folder, written)
    text = f"rule: the WAL on disk is of another system than {name}, or there is none"
    return Outcome(False, text, {"cluster": name, "system": str(control.system)})


def _control(bench: Bench, tools: Path, data: Path) -> _Control:
    ran = programs.run(bench.ground, [tools / "pg_controldata", data])
    fields = {
        key.strip(): value.strip()
        for key, colon, value in (line.partition(":") for line in ran.output.splitlines())
        if colon
    }
    try:
        return _Control(
            redo=_position(_redo(data) or fields["Latest checkpoint's REDO location"]),
            timeline=int(fields["Latest checkpoint's TimeLineID"]),
            system=int(fields["Database system identifier"]),
            segment_size=int(fields["Bytes per WAL segment"]),
            state=fields["Database cluster state"],
        )
    except (KeyError, ValueError):
        raise Unsound("pg_control cannot be read", {"mount": clipped(ran.output, 500)}) from None


def _redo(data: Path) -> str:
    """Where a backup label says that recovery begins; empty without one."""
    label = data / "backup_label"
    if not label.is_file():
        return ""
    found = re.search(r"START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+)", label.read_text("utf-8"))
    return found[1] if found else ""


def _position(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def _later_timeline(folder: Path, control: _Control) -> int:
    """A timeline that was begun after the set's, for the server's recovery would not follow it."""
    found = [int(path.stem, 16) for path in folder.glob("*.history") if _TIMELINE.match(path.name)]
    return max((one for one in found if one > control.timeline), default=0)


def _written(folder: Path, control: _Control) -> dict[int, Path]:
    """Segments that were really written, by their number: others were made for later."""
    found = {}
    for path in folder.iterdir():
        if not _NAME.match(path.name) or int(path.name[:8], 16) != control.timeline:
            continue
        with path.open("rb") as file:
            page = file.read(_PAGE.size)
        if len(page) < _PAGE.size:
            continue
        _, info, _, address, _, _, system, size, _ = _PAGE.unpack(page)
        number = int(path.name[8:16], 16) * ((1 << 32) // control.segment_size)
        number += int(path.name[16:], 16)
        if info & _LONG_HEADER and (address, system, size) == (
            number * control.segment_size, control.system, control.segment_size,
        ):  # fmt: skip
            found[number] = path
    return found


def _range(
    bench: Bench, tools: Path, control: _Control, name: str, folder: Path, written: dict[int, Path]
) -> Outcome:
    first, last = control.redo // control.segment_size, max(written)
    evidence = {
        "cluster": name,
        "required": [control.name(first), control.name(last)],
        "redo": f"{control.redo >> 32:X}/{control.redo & 0xFFFFFFFF:X}",
    }
    lacking = [control.name(number) for number in range(first, last + 1) if number not in written]
    if lacking or first > last:
        shown = ", ".join(lacking[:3]) or control.name(first)
        text = f"rule: the chain of logs must be whole: {name} needs {shown}, which is not there"
        return Outcome(False, text, evidence)
    command = [
        tools / "pg_waldump", "--stats", "--path", folder, "--timeline", str(control.timeline),
        "--start", evidence["redo"],
    ]  # fmt: skip
    ran = programs.run(bench.ground, [str(word) for word in command])
    evidence["waldump"] = clipped(ran.output, 1000)
    reached = re.search(r"^WAL statistics between \S+ and ([0-9A-F]+/[0-9A-F]+):", ran.output, re.M)
    end = _position(reached[1]) if reached else control.redo
    # A record that ends with its segment leaves the next one begun and without any.
    if (end + 1) // control.segment_size < last and end % control.segment_size:
        said = ran.output.strip().splitlines()[-1:] or ["pg_waldump said nothing"]
        text = f"rule: the chain of logs must be whole: {name}: WAL is damaged: {said[0]}"
        return Outcome(False, text, evidence)
    text = f"{name}: WAL from {control.name(first)} to {control.name(last)} present and sound"
    return Outcome(True, text, evidence)
