"""The proof for PostgreSQL: the WAL of today reaches from the data folder's redo point to its end.

A data folder of a split recovers from its last checkpoint. The end of WAL, a damage in its last
segment and segments lost behind look alike; a break before is found. What the end must reach is
what production's own pg_control says, where that can still be read; else the end is unproved.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import UnsupportedError
from exshadow.model import Json
from exshadow.service.checks import programs
from exshadow.service.checks.bench import Bench
from exshadow.service.checks.cluster import is_segment
from exshadow.service.checks.evidence import clipped
from exshadow.service.checks.ground import Outcome, Unsound

_PROGRAMS = Path("/usr/lib/postgresql")
_PAGE = struct.Struct("<HHIQIIQII")  # of xlog_internal.h: a segment's first page
_LONG_HEADER = 0x2
_TIMELINE = re.compile(r"^[0-9A-F]{8}\.history$")
_REACHED = re.compile(r"^WAL statistics between \S+ and ([0-9A-F]+/[0-9A-F]+):", re.M)
_GONE = re.compile(r'could not find file "([0-9A-F]{24})"')


@dataclass(frozen=True, slots=True)
class _Control:
    """What pg_control says: where recovery begins, and whose WAL it needs."""

    redo: int
    checkpoint: int
    minimum: int  # a standby's, and that of a backup: recovery must get so far
    timeline: int
    system: int
    segment_size: int
    state: str

    def name(self, number: int) -> str:
        """Of the segment with this number."""
        per_file = (1 << 32) // self.segment_size
        return f"{self.timeline:08X}{number // per_file:08X}{number % per_file:08X}"

    def number(self, name: str) -> int:
        """Of the segment of this name."""
        return int(name[8:16], 16) * ((1 << 32) // self.segment_size) + int(name[16:], 16)

    def start(self, name: str) -> int:
        """The position at which this segment begins."""
        return self.number(name) * self.segment_size


@dataclass(frozen=True, slots=True)
class End:
    """How far a server of production says that it has written: a position past the start of its
    last checkpoint's record."""

    system: int
    timeline: int
    position: int


def end_of(bench: Bench, data: Path) -> End | None:
    """Of production's data folder; None for one that cannot be read, which proves nothing."""
    try:
        control = _control(bench, _tools(data), data)
    except (Unsound, OSError):
        return None
    return End(control.system, control.timeline, max(control.checkpoint + 1, control.minimum))


def judge(bench: Bench, data: list[Path], wal: list[Path], ends: Sequence[End] = ()) -> Outcome:
    """Every data folder with the folder of segments that is its own. `ends`: of production."""
    found = [_judge(bench, folder, wal, ends) for folder in data]
    ok = all(one.ok for one in found)
    detail = "; ".join(one.detail for one in found if one.ok == ok)
    return Outcome(ok, detail, {"clusters": [one.evidence for one in found]})


def _tools(data: Path) -> Path:
    version = (data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    tools = _PROGRAMS / version / "bin"
    if not (tools / "pg_waldump").exists():
        raise UnsupportedError(
            f"pg_waldump of PostgreSQL {version} is not installed",
            hint=f"apt-get install postgresql-{version}",
        )
    return tools


def _judge(bench: Bench, data: Path, wal: list[Path], ends: Sequence[End]) -> Outcome:
    name = str(data.relative_to(bench.tree))
    tools = _tools(data)
    if (data / "pg_wal").is_dir() and not (data / "pg_wal").is_symlink():
        text = f"rule: logs and databases share a volume: {name} has its WAL within"
        return Outcome(False, text, {"cluster": name})
    control = _control(bench, tools, data)
    end = next((one for one in ends if one.system == control.system), None)
    if control.state.startswith("shut down") and not (data / "backup_label").exists():
        text = f"rule: the server replays nothing onto a data folder that was shut down: {name} was"
        return Outcome(False, text, {"cluster": name, "state": control.state})
    for folder in wal:
        later = max(_later_timeline(folder), end.timeline if end else 0)
        if later > control.timeline:
            text = (
                f"rule: {name} recovers in timeline {control.timeline}; the server has gone on in "
                f"timeline {later}"
            )
            return Outcome(False, text, {"cluster": name, "timeline": control.timeline})
        written = _written(folder, control)
        if written:
            return _range(_Wal(bench, tools, control, name, folder), written, end)
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
            checkpoint=_position(fields["Latest checkpoint location"]),
            minimum=_position(fields["Minimum recovery ending location"]),
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


def _later_timeline(folder: Path) -> int:
    """The newest timeline: the server's recovery would not follow one begun after the set's."""
    found = [int(path.stem, 16) for path in folder.glob("*.history") if _TIMELINE.match(path.name)]
    return max(found, default=0)


def _written(folder: Path, control: _Control) -> dict[int, Path]:
    """Segments that were really written, by their number: others were made for later."""
    found = {}
    for path in folder.iterdir():
        if not is_segment(path.name) or int(path.name[:8], 16) != control.timeline:
            continue
        with path.open("rb") as file:
            page = file.read(_PAGE.size)
        if len(page) < _PAGE.size:
            continue
        _, info, _, address, _, _, system, size, _ = _PAGE.unpack(page)
        number = control.number(path.name)
        if info & _LONG_HEADER and (address, system, size) == (
            number * control.segment_size, control.system, control.segment_size,
        ):  # fmt: skip
            found[number] = path
    return found


@dataclass(frozen=True, slots=True)
class _Wal:
    """The segments of one data folder, `name`, and what looks at them."""

    bench: Bench
    tools: Path
    control: _Control
    name: str
    folder: Path

    def end(self, evidence: Json) -> int:
        """Behind the last sound record, as pg_waldump finds it."""
        command = [
            self.tools / "pg_waldump", "--stats", "--path", self.folder,
            "--timeline", str(self.control.timeline), "--start", _text(self.control.redo),
        ]  # fmt: skip
        ran = programs.run(self.bench.ground, [str(word) for word in command])
        evidence["waldump"] = clipped(ran.output, 1000)
        if reached := _REACHED.search(ran.output):
            return _position(reached[1])
        if gone := _GONE.search(ran.output):  # it says no statistics then
            return self.control.start(gone[1])
        return self.control.redo


def _text(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def _range(wal: _Wal, written: dict[int, Path], production: End | None) -> Outcome:
    control, name = wal.control, wal.name
    first, last = control.redo // control.segment_size, max(written)
    evidence: Json = {
        "cluster": name,
        "required": [control.name(first), control.name(last)],
        "redo": _text(control.redo),
    }
    broken = f"rule: the chain of logs must be whole: {name}"
    lacking = [control.name(number) for number in range(first, last + 1) if number not in written]
    if lacking or first > last:
        shown = ", ".join(lacking[:3]) or control.name(first)
        return Outcome(False, f"{broken} needs {shown}, which is not there", evidence)
    end = wal.end(evidence)
    # A record that ends with its segment leaves the next one begun and without any.
    if (end + 1) // control.segment_size < last and end % control.segment_size:
        said = evidence["waldump"].strip().splitlines()[-1:] or ["pg_waldump said nothing"]
        return Outcome(False, f"{broken}: WAL is damaged: {said[0]}", evidence)
    text = f"{name}: WAL from {control.name(first)} to {control.name(last)} present and sound"
    if production is None or production.position <= control.checkpoint + 1:
        why = "cannot be read" if production is None else "knows no more than the set's"
        return Outcome(
            True, f"{text}; its end is unproved: production's pg_control {why}", evidence
        )
    evidence["production"] = _text(production.position)
    if end < production.position:
        lost = f"ends at {_text(end)}, production had written to {_text(production.position)}"
        return Outcome(False, f"{broken}: WAL {lost}", evidence)
    return Outcome(True, f"{text}; it reaches production's last checkpoint", evidence)
