"""How the mirrors of other products stood when we last had to do with them: by the journal alone,
for pages and lists that must not ask an array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exshadow.catalog.journal import Entry
from exshadow.providers.contract import Verb

_AFTER = {
    (Verb.PREPARE, "started"): "syncing",
    (Verb.PREPARE, "done"): "in_sync",
    (Verb.SPLIT, "started"): "splitting",
    (Verb.SPLIT, "done"): "split",
    (Verb.RESYNC, "started"): "resyncing",
    (Verb.RESYNC, "done"): "in_sync",
    (Verb.RESTORE, "started"): "restoring",
    (Verb.RESTORE, "done"): "split",
    (Verb.PRESENT, "started"): "split",
    (Verb.PRESENT, "done"): "presented",
    (Verb.UNPRESENT, "started"): "presented",
    (Verb.UNPRESENT, "done"): "split",
    (Verb.LEND, "started"): "lent",
    (Verb.LEND, "done"): "lent",
    (Verb.RECALL, "started"): "lent",
    (Verb.RECALL, "done"): "split",
}
"""State of a mirror by the newest action on it and how that ended."""
_GONE = frozenset({Verb.PROMOTE, Verb.DISSOLVE, Verb.ABORT})
"""Done, these leave no mirror of ours."""
_NOTHING_DONE = frozenset({"undone", "refused"})
"""How actions end that leave a mirror as it was."""
_NO_SET = frozenset({"in_sync", "syncing"})


@dataclass(frozen=True, slots=True)
class LastKnown:
    """One mirror. ``state``: syncing, in_sync, splitting, split, presented, lent, resyncing,
    restoring, failed; ``at``: since when we know; ``set_id``: of the set that it is, or was before
    its resync; ``volumes``: names and where they are; ``detail``: what the product said."""

    provider: str
    mirror: str
    state: str
    at: str
    set_id: str
    volumes: tuple[tuple[str, str], ...]
    detail: str = ""


def last_known(entries: Iterable[Entry], without: Sequence[str] = ()) -> list[LastKnown]:
    """By provider and mirror. ``entries``: a group's, oldest first; ``without``: providers that are
    shown by themselves."""
    found: dict[tuple[str, str], LastKnown] = {}
    for entry in entries:
        if entry.provider in without or entry.state in _NOTHING_DONE:
            continue
        action = entry.action
        key = (entry.provider, action.mirror)
        if action.verb in _GONE and entry.state == "done":
            found.pop(key, None)
            continue
        state = _AFTER.get((action.verb, entry.state))
        if state is None and entry.state == "started":
            continue  # being given up: as it was until that is done
        state = state or "failed"
        volumes = tuple((one.name, one.path) for one in action.volumes)
        found[key] = LastKnown(
            entry.provider,
            action.mirror,
            state,
            entry.ended or entry.started,
            "" if state in _NO_SET else action.set_id,
            volumes,
            f"{action.verb.value}: {entry.detail}" if state == "failed" else "",
        )
    return [found[key] for key in sorted(found)]
