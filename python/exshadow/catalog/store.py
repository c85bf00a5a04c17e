"""Reads and writes catalog facts. Every call is one transaction; safe beside other processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from exshadow.catalog import schema
from exshadow.catalog.database_errors import translated
from exshadow.model import (
    JobRecord,
    Json,
    Member,
    SetRecord,
    Verification,
    VolumeRecord,
    summary,
)
from exshadow.names import now


class Catalog:
    """An open catalog of the present schema, as one state folder sees it: rows of other owners in
    the same database are neither shown nor changed. While ``fence`` is set, it is asked inside
    every change whether the changer may still do it, and raises when not."""

    def __init__(self, engine: Engine, owner: str = "") -> None:
        self.engine = engine
        self.owner = owner
        self.fence: Callable[[Connection], None] | None = None
        # Readers must not queue behind a writer: opening.py begins these transactions deferred.
        self._reader = engine.execution_options(exshadow_reads=True)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """One transaction that changes something."""
        with translated(), self.engine.begin() as connection:
            if self.fence is not None:
                self.fence(connection)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One view of what is there; waits for nobody."""
        with translated(), self._reader.connect() as connection:
            yield connection

    def record_volume(self, volume: VolumeRecord) -> None:
        """Write what is known about `volume`, replacing what was."""
        row = {
            "owner": self.owner,
            "name": volume.name,
            "uuid": volume.uuid,
            "group": volume.group,
            "size": volume.size,
            "region_size": volume.region_size,
            "plex_paths": "\n".join(_text(plex.path) for plex in volume.plexes),
            "recorded": now(),
        }
        with self.changing() as connection:
            _replace(connection, schema.volumes, {"owner": self.owner, "name": volume.name}, row)

    def forget_volume(self, name: str) -> None:
        """Drop the volume; its jobs, events and sets stay as history."""
        with self.changing() as connection:
            connection.execute(
                delete(schema.volumes).where(
                    schema.volumes.c.owner == self.owner, schema.volumes.c.name == name
                )
            )

    def volumes(self) -> dict[str, Json]:
        """Recorded volumes by name: uuid, group, size, region_size, plex_paths (a list)."""
        with self.reading() as connection:
            query = select(schema.volumes).where(schema.volumes.c.owner == self.owner)
            rows = connection.execute(query).mappings().all()
        return {row["name"]: {**row, "plex_paths": row["plex_paths"].splitlines()} for row in rows}

    def record_set(self, one: SetRecord) -> None:
        """Write a set and its members, replacing what was; verdicts are kept."""
        row = {
            "owner": self.owner,
            "id": one.id,
            "label": one.label,
            "group": one.group,
            "created": one.created,
            "provider": one.provider,
            "consistency": one.consistency,
            "state": one.state,
            "pinned_until": one.pinned_until,
            "hold_us": one.hold_us,
        }
        with self.changing() as connection:
            _replace(connection, schema.sets, {"id": one.id}, row)
            for member in one.members:
                key = {"set_id": one.id, "volume": member.volume}
                facts = {"plex": member.plex, "path": _text(member.path), "size": member.size}
                _replace(connection, schema.members, key, {**key, **facts})

    def change_set(self, set_id: str, **values: object) -> None:
        """Set columns of one set, e.g. ``state="dissolved"``."""
        with self.changing() as connection:
            connection.execute(
                update(schema.sets)
                .where(schema.sets.c.owner == self.owner, schema.sets.c.id == set_id)
                .values(**values)
            )

    def sets(self, group: str | None = None) -> list[SetRecord]:
        """Recorded sets, oldest first, with members and the newest verdict of each check."""
        query = (
            select(schema.sets)
            .where(schema.sets.c.owner == self.owner)
            .order_by(schema.sets.c.created, schema.sets.c.id)
        )
        if group is not None:
            query = query.where(schema.sets.c.group == group)
        with self.reading() as connection:
            rows = connection.execute(query).mappings().all()
            members = _members(connection)
            verdicts = _verdicts(connection)
        return [
            SetRecord(
                **{name: row[name] for name in _SET_FIELDS},
                members=tuple(members.get(row["id"], ())),
                verified=summary(verdicts.get(row["id"], ())),
                checks=verdicts.get(row["id"], ()),
            )
            for row in rows
        ]

    def add_verification(self, set_id: str, verdict: Verification) -> None:
        """Record a verdict; the set must be recorded."""
        row = {
            "set_id": set_id,
            "check": verdict.check,
            "ok": verdict.ok,
            "at": verdict.at,
            "detail": _text(verdict.detail),
            "seconds": verdict.seconds,
            "evidence": json.dumps(verdict.evidence),
            "copies": verdict.copies,
        }
        with self.changing() as connection:
            connection.execute(insert(schema.verifications).values(**row))

    def forget_good_verdicts(self, set_id: str) -> None:
        """Its copies are no longer those that were found good; what was found bad stays."""
        verdicts = schema.verifications.c
        mine = select(schema.sets.c.id).where(schema.sets.c.owner == self.owner)
        with self.changing() as connection:
            connection.execute(
                delete(schema.verifications).where(
                    verdicts.set_id == set_id, verdicts.ok, verdicts.set_id.in_(mine)
                )
            )

    def add_job(
        self, job: JobRecord, *, volume: str, target: str, started: str, error: str = ""
    ) -> None:
        """Record one member's finished, cancelled or failed job."""
        row = {
            "owner": self.owner,
            "kind": job.kind,
            "volume": volume,
            "target": _text(target),
            "started": started,
            "seconds": job.seconds,
            "bytes_copied": job.bytes_copied,
            "bytes_zeroed": job.bytes_zeroed,
            "bytes_total": job.bytes_total,
            "state": job.state,
            "error": _text(error),
        }
        with self.changing() as connection:
            connection.execute(insert(schema.jobs).values(**row))

    def jobs(self, volume: str | None = None) -> list[Json]:
        """Recorded jobs, oldest first."""
        query = (
            select(schema.jobs).where(schema.jobs.c.owner == self.owner).order_by(schema.jobs.c.id)
        )
        if volume is not None:
            query = query.where(schema.jobs.c.volume == volume)
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_events(self, volume: str, texts: Iterable[str]) -> None:
        """Record what was said aloud about a volume."""
        about = {"owner": self.owner, "at": now(), "volume": volume}
        rows = [{**about, "text": _text(text)} for text in texts]
        if rows:
            with self.changing() as connection:
                connection.execute(insert(schema.events), rows)

    def events(self, volume: str | None = None) -> list[Json]:
        """Recorded events, oldest first."""
        query = (
            select(schema.events)
            .where(schema.events.c.owner == self.owner)
            .order_by(schema.events.c.id)
        )
        if volume is not None:
            query = query.where(schema.events.c.volume == volume)
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


_SET_FIELDS = (
    "id",
    "label",
    "group",
    "created",
    "provider",
    "consistency",
    "state",
    "pinned_until",
    "hold_us",
)


def _text(text: str) -> str:
    """What a database can keep: bytes of a path that are not UTF-8 are spelled out."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _replace(
    connection: Connection, table: Table, key: Mapping[str, str], row: Mapping[str, object]
) -> None:
    """Update the row of `key` or insert it. Plain SQL that every database has."""
    where = [table.c[column] == value for column, value in key.items()]
    if connection.execute(update(table).where(*where).values(**row)).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(table).values(**row))
    except IntegrityError:  # another process was quicker
        connection.execute(update(table).where(*where).values(**row))


def _members(connection: Connection) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    query = select(schema.members).order_by(schema.members.c.volume)
    for row in connection.execute(query).mappings():
        member = Member(row["volume"], row["plex"], row["path"], row["size"])
        found.setdefault(row["set_id"], []).append(member)
    return found


def _verdicts(connection: Connection) -> dict[str, tuple[Verification, ...]]:
    """By set: the newest verdict of each check, oldest first."""
    found: dict[str, dict[str, Verification]] = {}
    query = select(schema.verifications).order_by(schema.verifications.c.id)
    for row in connection.execute(query).mappings():
        newest = found.setdefault(row["set_id"], {})
        newest.pop(row["check"], None)
        newest[row["check"]] = Verification(
            row["check"],
            row["ok"],
            row["at"],
            row["detail"],
            row["seconds"],
            _json(row["evidence"]),
            row["copies"],
        )
    return {set_id: tuple(newest.values()) for set_id, newest in found.items()}


def _json(text: str) -> Json:
    """What was written as JSON; a catalog that was imported may hold anything."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
