"""Check `filesystem`: the journal replayed on the view, then the file system's own checker, which
repairs nothing. Each partition of a partitioned copy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from exshadow.errors import IoError, UnsupportedError
from exshadow.model import Json
from exshadow.service import mounts
from exshadow.service.checks import programs
from exshadow.service.checks.bench import Bench, Disk, open_bench
from exshadow.service.checks.ground import Ground, Outcome, Unsound


@dataclass(slots=True)
class _Seen:
    """What was seen of one disk."""

    disk: Disk
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[Json] = field(default_factory=list)

    def to_json(self) -> Json:
        return {
            "disk": self.disk.name,
            "file_system": self.disk.kind,
            "ok": not self.problems,
            "problems": self.problems,
            "notes": self.notes,
            "steps": self.steps,
        }


def check(ground: Ground) -> Outcome:
    """Every file system of every copy; one without any proves nothing, so it fails.
    UnsupportedError when one cannot be checked here, unless another is damaged."""
    seen: list[_Seen] = []
    unable: list[UnsupportedError] = []
    with open_bench(ground) as bench:
        for disk in bench.disks():
            try:
                seen.append(_look(bench, disk))
            except UnsupportedError as problem:
                unable.append(problem)
                seen.append(_Seen(disk, notes=[f"not checked: {problem.message}"]))
    bad = [f"{one.disk.name}: {problem}" for one in seen for problem in one.problems[:1]]
    if unable and not bad:
        raise unable[0]
    named = ", ".join(f"{one.disk.kind} of {one.disk.name}" for one in seen)
    detail = "; ".join(bad) if bad else f"sound: {named}"
    return Outcome(not bad, detail, {"disks": [one.to_json() for one in seen]})


def _look(bench: Bench, disk: Disk) -> _Seen:
    seen = _Seen(disk)
    if not disk.kind:
        seen.problems.append("no file system was found")
        return seen
    if disk.kind == "swap":
        seen.notes.append("swap space holds no files")
        return seen
    look = _BY_KIND.get(disk.kind)
    if look is None:
        raise UnsupportedError(
            f"{disk.name} holds {disk.kind}, which exshadow has no checker for",
            hint=f"there is one for: {', '.join(sorted(_BY_KIND))}",
        )
    bench.ground.say(f"{disk.kind} of {disk.name}")
    look(bench, seen)
    return seen


def _run(bench: Bench, seen: _Seen, tool: str, *arguments: str, sound: int = 0) -> bool:
    """Run a checker on the disk; a problem is noted unless its status is `sound`."""
    ran = programs.run(bench.ground, (programs.require(tool), *arguments, seen.disk.device))
    seen.steps.append(ran.to_json())
    if ran.status == sound:
        return True
    seen.problems.append(f"{tool} found damage (status {ran.status}){_first_words(ran.output)}")
    return False


_BANNERS = ("e2fsck ", "Pass ", "Phase ", "Opening filesystem", "Checking filesystem", "fsck.fat ")


def _first_words(output: str) -> str:
    """The first line that is no banner."""
    for line in output.splitlines():
        if line.strip() and not line.lstrip(" -").startswith(_BANNERS):
            return f": {line.strip()[:160]}"
    return ""


def _ext(bench: Bench, seen: _Seen) -> None:
    """Its checker replays the journal, and frees what was open and had no name any more."""
    tool = programs.require("e2fsck")
    replay = ("-p", "-E", "journal_only")
    ran = programs.run(bench.ground, (tool, *replay, seen.disk.device))
    seen.steps.append(ran.to_json())
    if ran.status > 1:
        words = _first_words(ran.output)
        seen.problems.append(f"the journal cannot be replayed (status {ran.status}){words}")
    _run(bench, seen, "e2fsck", "-f", "-n")


def _replayed_by_mounting(bench: Bench, seen: _Seen) -> None:
    """The kernel replays the journal; a copy that cannot be mounted is no use."""
    try:
        bench.unmount(bench.mount(seen.disk))
    except UnsupportedError as problem:
        seen.notes.append(f"its journal was not replayed: {problem.message}")
    except Unsound as unsound:
        said = unsound.outcome.evidence["mount"]
        seen.problems.append(f"{seen.disk.kind} cannot be mounted: {said}")


def _xfs(bench: Bench, seen: _Seen) -> None:
    programs.require("xfs_repair")
    _replayed_by_mounting(bench, seen)
    _run(bench, seen, "xfs_repair", "-n")


def _btrfs(bench: Bench, seen: _Seen) -> None:
    programs.require("btrfs")
    uuid = mounts.probe(seen.disk.device, "UUID")
    if uuid and Path(f"/sys/fs/btrfs/{uuid}").exists():
        # The kernel tells file systems apart by this: it would take one for the other.
        seen.notes.append("its log was not replayed: a btrfs of the same UUID is mounted")
    else:
        _replayed_by_mounting(bench, seen)
    _run(bench, seen, "btrfs", "check", "--readonly", "--check-data-csum")


def _fat(bench: Bench, seen: _Seen) -> None:
    """A mounted FAT is marked as in use; in a copy that is no damage, so the mark goes first."""
    programs.require("fsck.fat")
    with suppress(OSError), Path(seen.disk.device).open("r+b", buffering=0) as device:
        sector = bytearray(device.read(512))
        at = 0x41 if sector[22:24] == b"\0\0" else 0x25  # FAT32 has its length elsewhere
        if sector[at] & 1:
            sector[at] &= ~1
            device.seek(0)
            device.write(sector)
            seen.notes.append("was marked as in use, as a file system that is mounted is")
    _run(bench, seen, "fsck.fat", "-n")


def _ntfs(bench: Bench, seen: _Seen) -> None:
    """Neither tool replays what Windows has in its journal; both read only."""
    seen.notes.append("ntfsfix and ntfsresize look at less than chkdsk of Windows does")
    _run(bench, seen, "ntfsfix", "--no-action")
    _run(bench, seen, "ntfsresize", "--info", "--force", "--no-progress-bar")
    try:
        bench.unmount(bench.mount(seen.disk, writable=False))
    except (Unsound, IoError) as problem:
        seen.problems.append(f"ntfs cannot be mounted: {problem}")


_BY_KIND: dict[str, Callable[[Bench, _Seen], None]] = {
    "ext2": _ext,
    "ext3": _ext,
    "ext4": _ext,
    "xfs": _xfs,
    "btrfs": _btrfs,
    "vfat": _fat,
    "ntfs": _ntfs,
}
