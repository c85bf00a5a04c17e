"""The journal of actions: what a provider was asked to do, on disk before the provider starts.

Unlike other facts of the catalog an entry survives a power cut: without it nobody would know of a
half-made copy in a product.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, or_, select, update

from exshadow.catalog import schema
from exshadow.catalog.database_errors import translated
from exshadow.catalog.store import Catalog
from exshadow.errors import CorruptError
from exshadow.providers.contract import REPLACES_PRODUCTION, Action, Verb

_DETAIL = 1000
_LEAVES_SOMETHING = tuple(
    verb.value
    for verb in (
        Verb.PREPARE,
        Verb.SPLIT,
        Verb.PRESENT,
        Verb.RESYNC,
        Verb.DISSOLVE,
        Verb.ABORT,
        Verb.RESTORE,
        Verb.PROMOTE,
        Verb.LEND,
        Verb.RECALL,
    )
)
_OVERTAKING = tuple(verb.value for verb in (Verb.PREPARE, Verb.ABORT, Verb.RESTORE, Verb.PROMOTE))


@dataclass(frozen=True, slots=True)
class Entry:
    """One action and what came of it. ``state``: started, done, failed, refused (failed, and
    nothing of it is there) or undone; times are RFC 3339 UTC, ``ended`` empty while it goes on;
    ``settings``: what its provider was made with, None where nobody wrote that down;
    ``identities``: what the volumes are to every host, of what replaces production."""

    action: Action
    provider: str
    run_id: str
    state: str
    started: str
    ended: str
    detail: str
    settings: Mapping[str, str] | None = None
    owner: str = ""
    identities: tuple[str, ...] = ()


class CatalogJournal:
    """A :class:`~exshadow.providers.steps.Journal` in the catalog, for one run. BusyError, IoError
    when it cannot be written: then nothing may be started."""

    def __init__(self, catalog: Catalog, run_id: str) -> None:
        self.run_id = run_id
        self._catalog = catalog
        self._durable = catalog.engine.execution_options(exshadow_durable=True)

    def begin(
        self,
        provider: str,
        action: Action,
        settings: Mapping[str, str] | None = None,
        identities: Collection[str] = (),
    ) -> None:
        """Record it as started, with what its provider is made with: the policy may say something
        else when it is to be settled. The same id again changes nothing: it is carried on."""
        asked = action.to_json() | ({} if settings is None else {"settings": dict(settings)})
        if identities:
            asked["identities"] = list(identities)
        row = {
            "owner": self._catalog.owner,
            "id": action.id,
            "run_id": self.run_id,
            "group": action.group,
            "provider": provider,
            "verb": action.verb.value,
            "set_id": action.set_id,
            "asked": json.dumps(asked),
            "state": "started",
            "started": _moment(),
        }
        known = select(schema.actions.c.id).where(schema.actions.c.id == action.id)
        with self._writing() as connection:
            if connection.execute(known).first() is None:
                connection.execute(insert(schema.actions).values(**row))

    def end(self, action: Action, state: str, detail: str = "") -> None:
        """``done``, ``failed``, ``refused`` or ``undone``."""
        row = {"state": state, "ended": _moment(), "detail": detail[:_DETAIL]}
        one = update(schema.actions).where(schema.actions.c.id == action.id)
        with self._writing() as connection:
            connection.execute(one.values(**row))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with translated(), self._durable.begin() as connection:
            if self._catalog.fence is not None:
                self._catalog.fence(connection)
            yield connection

    def unfinished(self, group: str | None = None) -> list[Entry]:
        """Of one group or all, oldest first: what was started and has not ended, and what failed
        and may have left something half there. Not what a later action has made good: a restore
        after a restore that failed, a preparation of the same mirror."""
        group_only = [] if group is None else [schema.actions.c.group == group]
        return self._not_overtaken(self._entries(_left(), *group_only))

    def is_left(self, entry: Entry) -> bool:
        """Whether it is unfinished still."""
        return any(one.action.id == entry.action.id for one in self.unfinished(entry.action.group))

    def replacing(self, identities: Collection[str], group: str) -> list[Entry]:
        """Unfinished restores and promotions on any of these volumes, by other groups and by other
        hosts that share the catalog; oldest first."""
        verbs = schema.actions.c.verb.in_([verb.value for verb in REPLACES_PRODUCTION])
        mine = (self._catalog.owner, group)
        found = [
            one
            for one in self._every(_left(), verbs)
            if (one.owner, one.action.group) != mine
            and not {*one.identities}.isdisjoint(identities)
        ]
        return self._not_overtaken(found)

    def replacing_elsewhere(self, groups: Collection[str]) -> list[Entry]:
        """Unfinished restores and promotions of other hosts, of groups of these names; oldest
        first."""
        verbs = schema.actions.c.verb.in_([verb.value for verb in REPLACES_PRODUCTION])
        theirs = schema.actions.c.owner != self._catalog.owner
        named = schema.actions.c.group.in_(groups)
        return self._not_overtaken(self._every(_left(), verbs, theirs, named))

    def _not_overtaken(self, left: list[Entry]) -> list[Entry]:
        if not any(one.action.verb.value in _OVERTAKING for one in left):
            return left
        later = self._every(schema.actions.c.verb.in_(_OVERTAKING))
        return [one for one in left if not any(_overtakes(other, one) for other in later)]

    def of_run(self, run_id: str) -> list[Entry]:
        """All actions of a run, oldest first."""
        return self._entries(schema.actions.c.run_id == run_id)

    def of_verbs(self, *verbs: Verb) -> list[Entry]:
        """All actions of these kinds, oldest first."""
        return self._entries(schema.actions.c.verb.in_([verb.value for verb in verbs]))

    def done(self, group: str, verb: Verb) -> list[Entry]:
        """The group's actions of this kind that ended well, oldest first."""
        actions = schema.actions.c
        return self._entries(
            actions.group == group, actions.verb == verb.value, actions.state == "done"
        )

    def newest(self, group: str, count: int) -> list[Entry]:
        """The group's newest actions, so many at most, oldest first."""
        actions = schema.actions.c
        mine = (actions.owner == self._catalog.owner, actions.group == group)
        query = select(schema.actions).where(*mine).order_by(actions.started.desc()).limit(count)
        with self._catalog.reading() as connection:
            rows = list(connection.execute(query).mappings())
        return [_entry(row) for row in reversed(rows)]

    def split_of(self, set_id: str) -> Entry | None:
        """The split that made a set: its mirror, volumes and options."""
        actions = schema.actions.c
        found = self._entries(actions.set_id == set_id, actions.verb == Verb.SPLIT.value)
        return found[-1] if found else None

    def _entries(self, *wanted: ColumnElement[bool]) -> list[Entry]:
        return self._every(schema.actions.c.owner == self._catalog.owner, *wanted)

    def _every(self, *wanted: ColumnElement[bool]) -> list[Entry]:
        """Of all owners."""
        query = select(schema.actions).where(*wanted).order_by(schema.actions.c.started)
        with self._catalog.reading() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]


def _left() -> ColumnElement[bool]:
    actions = schema.actions.c
    failed = and_(actions.state == "failed", actions.verb.in_(_LEAVES_SOMETHING))
    return or_(actions.state == "started", failed)


def _overtakes(later: Entry, left: Entry) -> bool:
    """Whether what was left does not count any more since this one began."""
    if later.started <= left.started:
        return False
    new, old = later.action, left.action
    same_group = (later.owner, new.group) == (left.owner, old.group)
    if old.verb in REPLACES_PRODUCTION:
        if new.verb not in REPLACES_PRODUCTION or later.state != "done":
            return False
        if left.identities and {*left.identities} <= {*later.identities}:
            return True
        return same_group and {*_places(old)} <= {*_places(new)}
    if old.verb is not Verb.PREPARE or left.state != "failed" or not same_group:
        return False
    if (later.provider, new.mirror) != (left.provider, old.mirror):
        return False
    again = new.verb is Verb.PREPARE and later.state not in ("refused", "undone")
    return again or (new.verb is Verb.ABORT and not new.set_id and later.state == "done")


def _places(action: Action) -> list[tuple[str, str]]:
    return [(one.name, one.path) for one in action.volumes]


def _moment() -> str:
    """With microseconds: actions are read in the order in which they began."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _entry(row: RowMapping) -> Entry:
    try:
        asked = json.loads(row["asked"] or "")
        action, settings = Action.from_json(asked), asked.get("settings")
        identities = tuple(asked.get("identities", ()))
    except (ValueError, KeyError, TypeError) as problem:
        raise CorruptError(
            f"the journal's action {row['id']} cannot be read: {problem!r}",
            hint="look at it with: exshadow catalog export FILE",
        ) from problem
    return Entry(
        action,
        str(row["provider"]),
        str(row["run_id"]),
        str(row["state"]),
        str(row["started"]),
        row["ended"] or "",
        row["detail"] or "",
        settings,
        str(row["owner"]),
        identities,
    )
