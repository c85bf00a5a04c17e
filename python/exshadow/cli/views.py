"""Records as text for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from exshadow.cli.output import table
from exshadow.model import ChangedMember, JobRecord, PlexRecord, SetRecord, VolumeRecord
from exshadow.names import FOREVER, format_size

if TYPE_CHECKING:
    from exshadow.catalog.documents import Remark


def volumes(records: Iterable[VolumeRecord]) -> str:
    rows = [
        (
            one.name,
            one.group,
            format_size(one.size),
            one.state,
            f"{sum(plex.state == 'in_sync' for plex in one.plexes)}/{len(one.plexes)}",
            len(one.snapshots),
            one.owner or "",
        )
        for one in records
    ]
    if not rows:
        return "no volumes; add one with: exshadow volume add NAME PATH"
    titles = ("NAME", "GROUP", "SIZE", "STATE", "IN SYNC", "SNAPSHOTS", "OPEN BY")
    return table(titles, rows, numbers=("SIZE", "IN SYNC", "SNAPSHOTS"))


def volume(one: VolumeRecord) -> str:
    lines = [
        f"volume       {one.name}",
        f"uuid         {one.uuid}",
        f"group        {one.group}",
        f"size         {format_size(one.size)} ({one.size} bytes)",
        f"region size  {format_size(one.region_size)}",
        f"state        {one.state}, {'closed cleanly' if one.clean else 'in use or not closed'}",
    ]
    if one.owner:
        lines.append(f"open by      {one.owner}")
    if one.state == "moving":
        source = ", ".join(s.label for s in one.snapshots if s.state == "restoring") or "a set"
        lines.append(f"to move      {format_size(one.bytes_to_move)}, from {one.group}@{source}")
    lines += ["", plexes(one.plexes)]
    if one.snapshots:
        rows = [
            (s.label, s.created, s.state, s.plex, format_size(s.changed_bytes), s.path)
            for s in one.snapshots
        ]
        titles = ("SNAPSHOT", "CREATED", "STATE", "PLEX", "CHANGED", "PATH")
        lines += ["", table(titles, rows, numbers=("CHANGED",))]
    lines += [f"note: {event}" for event in one.events]
    return "\n".join(lines)


def plexes(records: Iterable[PlexRecord]) -> str:
    rows = [
        (
            one.label,
            one.state,
            "yes" if one.authority else "",
            format_size(one.bytes_to_sync) if one.bytes_to_sync else "",
            one.path,
            one.note,
        )
        for one in records
    ]
    titles = ("PLEX", "STATE", "AUTHORITY", "TO SYNC", "PATH", "NOTE")
    return table(titles, rows, numbers=("TO SYNC",))


def sets(records: Iterable[SetRecord]) -> str:
    rows = [
        (
            f"{one.group}@{one.label}",
            whole_seconds(one.created),
            f"{one.state}, lent to {one.lent_to}" if one.lent_to else one.state,
            one.consistency,
            _count(one),
            _verdict(one),
            one.pinned_until or "",
            one.id,
        )
        for one in records
    ]
    if not rows:
        return "no snapshot sets; make one with: exshadow snapshot create GROUP"
    titles = ("SET", "CREATED", "STATE", "CONSISTENCY", "VOLUMES", "VERIFIED", "PINNED", "ID")
    return table(titles, rows, numbers=("VOLUMES",))


def whole_seconds(moment: str) -> str:
    """A time of the catalog (RFC 3339, UTC) without its fraction."""
    head, dot, tail = moment.partition(".")
    return head + tail.lstrip("0123456789") if dot else moment


def _count(one: SetRecord) -> str:
    here = str(len(one.members))
    return f"{here} ({', '.join(one.missing)} missing)" if one.missing else here


def _verdict(one: SetRecord) -> str:
    if one.verified is None:
        return ""
    return f"{one.verified.check}: {'ok' if one.verified.ok else 'FAILED'}"


def set_(one: SetRecord, remarks: Iterable[Remark] = ()) -> str:
    lines = [
        f"set          {one.group}@{one.label}",
        f"id           {one.id}",
        f"created      {whole_seconds(one.created)}",
        f"state        {one.state}" + (f" ({one.note})" if one.note else ""),
        f"consistency  {one.consistency}",
        f"provider     {one.provider}",
    ]
    if one.lent_to:
        lines.append(f"lent to      {one.lent_to}, until: exshadow snapshot recall SET")
    title = "verified"
    for verdict in one.checks:
        judged = "ok" if verdict.ok else "FAILED"
        time = f"{verdict.at}, {verdict.seconds:.1f} s"
        lines.append(f"{title:<13}{verdict.check}: {judged}, {time}: {verdict.detail}")
        title = ""
    if one.pinned_until:
        ever = one.pinned_until == FOREVER
        lines.append(f"pinned       {'for ever' if ever else f'until {one.pinned_until}'}")
    lines += [
        f"{remark.what:<12} {remark.at}: {' '.join(remark.reason.split())}" for remark in remarks
    ]
    rows = [(m.volume, m.plex, format_size(m.size), m.path) for m in one.members]
    return "\n".join([*lines, "", table(("VOLUME", "PLEX", "SIZE", "PATH"), rows, ("SIZE",))])


def diff(members: Iterable[ChangedMember]) -> str:
    rows = [
        (one.volume, len(one.changed), format_size(one.bytes), format_size(one.region_size))
        for one in members
    ]
    titles = ("VOLUME", "EXTENTS", "CHANGED", "REGION")
    return table(titles, rows, numbers=titles[1:])


def job(one: JobRecord) -> str:
    rate = one.bytes_copied / one.seconds if one.seconds > 0 else 0.0
    zeroed = f", {format_size(one.bytes_zeroed)} zeroed" if one.bytes_zeroed else ""
    speed = f", {format_size(int(rate))}/s" if one.bytes_copied else ""
    # Several plexes are written at once: each gets a part of what was copied.
    several = one.bytes_copied + one.bytes_zeroed > one.bytes_total
    of = "to several plexes, each" if several else "of"
    whole = f" {of} {format_size(one.bytes_total)}"
    if one.kind == "import" and several:
        whole = ""  # of changes: the whole is the file that holds them, zeroes take no room there
    return (
        f"{one.kind} {one.state}: {format_size(one.bytes_copied)} copied{zeroed}"
        f"{whole} in {one.seconds:.2f} s{speed}"
    )


def moving() -> str:
    """An instant restore whose data moves in the background of a daemon; that production is the
    set now, and how much is left, was noted for each volume."""
    return (
        "restored at once; the daemon moves the data in the background\n"
        "how far it is: exshadow volume show VOLUME; wait for it: exshadow mirror sync VOLUME"
    )
