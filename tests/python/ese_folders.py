"""Whole folders as Exchange 2003, 2007 and 2010 or later leave them on a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ese_log_maker import (
    Chain,
    LogHeader,
    Segments,
    checkpoint,
    created_at,
    flush_map,
    log7,
    log8,
    segments_sum,
)
from ese_maker import CLEAN, DIRTY, LOG_SIGNATURE, Database, Header, signature, streaming_pair

__all__ = ["GENERATIONS", "Folder", "Stream", "created_at"]


@dataclass(frozen=True)
class Stream:
    """A log stream: generations first..current, the checkpoint, what the databases require."""

    kind: str  # 2003 2003-sp1 2007 2010 2013
    first: int = 1
    current: int = 12
    checkpoint: int = 5
    required: tuple[int, int] = (6, 11)
    committed: int = 12
    clean: bool = False
    base: str = "E00"
    pages: int = 24
    digits: int | None = None
    number: int = 0  # of the stream: signatures and noise differ
    line: int = 0  # another line of time of the same stream
    log_sectors: int | None = None


@dataclass(frozen=True)
class _Form:
    page_size: int
    revision: int
    digits: int
    version: tuple[int, int, int, int]
    file_type: bool = True


GENERATIONS = {
    "2003": _Form(4096, 0x9, 5, (7, 3704, 4, 0), file_type=False),
    "2003-sp1": _Form(4096, 0xB, 5, (7, 3704, 5, 0)),
    "2007": _Form(8192, 0xC, 8, (7, 3704, 12, 0)),
    "2010": _Form(32768, 0x11, 8, (7, 3704, 16, 0)),
    "2013": _Form(32768, 0x14, 8, (8, 4000, 2, 13)),
}


@dataclass
class Folder:
    """What was written: generation of each log to its path."""

    path: Path
    logs: dict[int, Path]
    checkpoint: Path
    databases: list[Path]
    streams: list[Path]

    @classmethod
    def make(cls, path: Path, stream: Stream) -> Folder:
        """Write all files of a stream."""
        path.mkdir(parents=True, exist_ok=True)
        form = GENERATIONS[stream.kind]
        made = cls(path, {}, path / f"{stream.base}.chk", [], [])
        for generation, content in logs_of(stream).items():
            digits = stream.digits or form.digits
            name = f"{stream.base}{generation:0{digits}X}.log"
            if generation == stream.current:
                name = f"{stream.base}.log"
            made.logs[generation] = path / name
            made.logs[generation].write_bytes(content)
        made.checkpoint.write_bytes(
            checkpoint(stream.checkpoint, log_signature=log_signature(stream))
        )
        _databases(made, stream, form)
        _companions(made, stream, form)
        return made


def log_signature(stream: Stream) -> bytes:
    return signature(0x1A2B3C4D + stream.number) if stream.number else LOG_SIGNATURE


def logs_of(stream: Stream) -> dict[int, bytearray]:
    """The logs by generation, chained."""
    form = GENERATIONS[stream.kind]
    segments = form.version[0] >= 8
    found: dict[int, bytearray] = {}
    total = 0
    for generation in range(stream.first, stream.current + 1):
        header = LogHeader(
            generation,
            form.version,
            sector_size=4096 if segments else 512,
            header_sectors=1 if segments else 8,
            file_sectors=stream.log_sectors or (8 if segments else 40),
            page_size=form.page_size,
            log_signature=log_signature(stream),
            previous_sum=total,
            line=stream.line,
            first_ever=generation == 1,
        )
        last, seed = generation == stream.current, stream.number * 100 + stream.line + 1
        if segments:
            body = Segments(valid=3 if last else None, shadow=generation % 2 == 0, seed=seed)
            found[generation] = log8(header, body)
            total = segments_sum(found[generation], header)
        else:
            found[generation], _ = log7(header, Chain(shadow=last, seed=seed))
    return found


def header_of(stream: Stream, number: int = 0) -> Header:
    form = GENERATIONS[stream.kind]
    return Header(
        form.page_size,
        state=CLEAN if stream.clean else DIRTY,
        required=(0, 0) if stream.clean else stream.required,
        committed=0 if stream.clean else stream.committed,
        revision=form.revision,
        database_signature=signature(0x5E6F0000 + 16 * stream.number + number),
        log_signature=log_signature(stream),
        file_type=int(form.file_type),
    )


def _databases(made: Folder, stream: Stream, form: _Form) -> None:
    if form.page_size != 4096:
        database = made.path / "Mailbox Database.edb"
        empty = frozenset({stream.pages})
        database.write_bytes(Database(header_of(stream), pages=stream.pages, empty=empty).build())
        made.databases.append(database)
        return
    for number, name in enumerate(("priv1", "pub1")):
        pair = streaming_pair(header_of(stream, number), stream.pages, 8, seed=number)
        for content, suffix, group in zip(
            pair, ("edb", "stm"), (made.databases, made.streams), strict=True
        ):
            group.append(made.path / f"{name}.{suffix}")
            group[-1].write_bytes(content)


def _companions(made: Folder, stream: Stream, form: _Form) -> None:
    size = made.logs[stream.current].stat().st_size
    if form.digits == 5:
        reserves = ["res1.log", "res2.log"]
    else:
        reserves = [f"{stream.base}res00001.jrs", f"{stream.base}res00002.jrs"]
    for name in reserves:
        (made.path / name).write_bytes(bytes(size))
    if form.version[0] >= 8:
        (made.path / "Mailbox Database.jfm").write_bytes(flush_map())
    recycled = made.logs[stream.first].read_bytes()
    (made.path / f"{stream.base}tmp.log").write_bytes(recycled)
