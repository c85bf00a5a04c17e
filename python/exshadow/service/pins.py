"""snapshot pin: protects a set until its date. A promise is taken back only with a reason, which
the catalog keeps."""

from __future__ import annotations

from dataclasses import replace

from exshadow.errors import BusyError, Error, InvalidError, RefusedError
from exshadow.model import SetRecord
from exshadow.names import FOREVER, is_pinned, now, parse_time
from exshadow.providers.contract import ENDS_A_SET, Verb
from exshadow.service import sets
from exshadow.service.desk import Desk


def pin(desk: Desk, text: str, until: str | None, reason: str = "") -> SetRecord:
    """Protect a set until a time or for ever; None lifts the pin. InvalidError when a pin in force
    is lifted or shortened without a reason."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    native = one.provider == sets.PROVIDER
    if native:
        sets.require_readable(desk, one, survey, "pin")
    if until is not None and not is_pinned(until):
        raise InvalidError(f"{until} is past", hint=f"it is {now()} now")
    before = one.pinned_until
    if is_pinned(before) and not _as_long(until, before):
        _require(reason, one)
        # Written first: a pin that is gone without a word is worse than a word too much.
        from exshadow.catalog.documents import add_remark

        what = "unpinned" if until is None else "pin shortened"
        add_remark(desk.catalog, one.id, what, f"{reason.strip()} (was pinned until {before})")
    if not native:  # the catalog is all that knows of it
        desk.catalog.change_set(one.id, pinned_until=until)
        if until is not None:
            try:
                _require_there(desk, one)
            except Error:
                desk.catalog.change_set(one.id, pinned_until=one.pinned_until)
                raise
        return replace(one, pinned_until=until)
    with desk.session([member.volume for member in one.members]) as session:
        for member in one.members:
            session.volumes[member.volume].pin_snapshot(one.label, until)
        records = [session.info(member.volume) for member in one.members]
    pinned = replace(sets.from_volumes(records, one.id), verified=one.verified, checks=one.checks)
    desk.record(lambda catalog: catalog.record_set(pinned))
    return pinned


def _require_there(desk: Desk, one: SetRecord) -> None:
    """After the pin was written: BusyError while somebody ends the set, RefusedError when a killed
    promotion may have made it production, or it has ended. Who ends a set writes that down before
    looking for a pin, so that of two at a time one sees the other. Of what else a killed run had
    begun to do to the set, no pin takes anything back: that is told."""
    from exshadow.catalog.journal import CatalogJournal

    name = f"{one.group}@{one.label}"
    every = CatalogJournal(desk.catalog, "").unfinished(one.group)
    begun = [
        entry
        for entry in every
        if entry.action.set_id == one.id and entry.action.verb in ENDS_A_SET
    ]
    if begun and _at_work(desk, one.group):
        raise BusyError(
            f"set {name} is not pinned: its {begun[-1].action.verb} is under way",
            hint="see what became of it: exshadow snapshot list --all",
        )
    if any(entry.action.verb is Verb.PROMOTE for entry in begun):
        raise RefusedError(
            f"set {name} is not pinned: its promotion was interrupted",
            hint=f"settle that first: exshadow policy settle {one.group}",
        )
    # Looked at last: what had ended before the journal was read is seen here.
    now = next((found for found in desk.catalog.sets(one.group) if found.id == one.id), one)
    if now.state == "dissolved":
        raise RefusedError(f"set {name} is not pinned: it has ended")
    for entry in begun:
        desk.reporter.note(
            f"{entry.action.verb} of set {name} was begun at {entry.started}: "
            "what is left of it stays; the next run says how much"
        )


def _at_work(desk: Desk, group: str) -> bool:
    """Whether a run or a command holds the group now."""
    from exshadow.service.policy_run.room import group_lock

    try:
        with group_lock(desk, group):
            return False
    except BusyError:
        return True


def _as_long(until: str | None, before: str | None) -> bool:
    """Whether the new pin protects at least as long."""
    if until is None or before is None:
        return before is None
    if until == FOREVER or before == FOREVER:
        return until == FOREVER
    try:
        return parse_time(until) >= parse_time(before)
    except InvalidError:  # one that cannot be read counts as in force for ever
        return False


def _require(reason: str, one: SetRecord) -> None:
    if not reason.strip():
        raise InvalidError(
            f"set {one.group}@{one.label} is pinned until {one.pinned_until}: say why that ends",
            hint="add --reason TEXT; the catalog keeps it",
        )
