"""Sets assembled from volume files and the catalog, and found by name."""

from dataclasses import replace

import pytest

from exshadow.errors import CorruptError, InvalidError, NotFoundError, RefusedError
from exshadow.model import PlexRecord, SetRecord, SnapshotRecord, VolumeRecord
from exshadow.service import sets
from exshadow.service.state import Survey

ID, OTHER = "11111111-aaaa-4aaa-8aaa-000000000001", "22222222-aaaa-4aaa-8aaa-000000000002"


class Known:
    """A catalog that knows these sets."""

    def __init__(self, *found: SetRecord) -> None:
        self.found = list(found)

    def sets(self):
        return self.found


def snapshot(set_id=ID, label="noon", state="ready", members=("a", "b"), pin=None):
    created = "2026-01-01T00:00:00Z"
    return SnapshotRecord(
        label, set_id, created, "m2", "/m2", state, tuple(members), "crash", pin, 0
    )


def volume(name, *snapshots, group="g", plex_state="split"):
    plexes = (
        PlexRecord("p1", f"/{name}", "in_sync", 512, authority=True),
        PlexRecord("m2", f"/{name}2", plex_state, 512),
    )
    return VolumeRecord(name, name, group, 512, 4096, "ok", True, 1, plexes, snapshots)


def survey(*volumes, **problems):
    return Survey({one.name: one for one in volumes}, problems)


def only(view, known=None):
    (one,) = sets.assemble(view, known)
    return one


def test_a_whole_set_is_ready():
    one = only(survey(volume("a", snapshot()), volume("b", snapshot())))
    assert (one.state, one.note) == ("ready", "")
    assert [member.volume for member in one.members] == ["a", "b"]


def test_sets_of_one_second_are_listed_as_they_were_made():
    """Also where a volume came later, and lists fewer of them."""
    old, new = (f"{digit}{ID[1:]}" for digit in "f0")
    one = survey(volume("a", snapshot(old), snapshot(new)), volume("b", snapshot(new)))
    assert [found.id for found in sets.assemble(one, None)] == [old, new]
    torn = survey(
        volume("a", snapshot(old), snapshot(new)), volume("b", snapshot(new), snapshot(old))
    )
    assert len(sets.assemble(torn, None)) == 2


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("ready", "restoring"), "restoring"),
        (("resyncing", "ready"), "resyncing"),
        (("failed", "restoring"), "failed"),
        (("creating", "creating"), "creating"),
        (("in_doubt", "ready"), "creating"),
    ],
)
def test_state_follows_from_the_members(states, expected):
    first, second = states
    one = only(survey(volume("a", snapshot(state=first)), volume("b", snapshot(state=second))))
    assert one.state == expected


def test_in_doubt_is_said_and_refuses_operations():
    view = survey(volume("a", snapshot(state="in_doubt")))
    one = only(view)
    assert "in doubt" in one.note
    with pytest.raises(RefusedError):
        sets.require_whole(one, view, "restore")


def test_a_member_that_lost_the_set_is_seen():
    view = survey(volume("a", snapshot()), volume("b"))
    assert only(view).state == "failed"
    begun = replace(only(view), state="resyncing")
    assert only(view, Known(begun)).state == "resyncing"


def test_verdict_and_hold_come_from_the_catalog():
    view = survey(volume("a", snapshot(members=["a"])))
    known = replace(only(view), hold_us=7, state="dissolved")
    one = only(view, Known(known))
    assert (one.hold_us, one.state) == (7, "ready")  # the volume file is the truth about the state


def test_a_set_nobody_holds_is_dissolved():
    known = only(survey(volume("a", snapshot(members=["a"]))))
    one = only(survey(volume("a")), Known(known))
    assert one.state == "dissolved"
    with pytest.raises(NotFoundError):
        sets.choose([one], "noon", survey())
    assert sets.choose([one], ID, survey()) is one


def test_an_interrupted_resync_is_found_by_its_label():
    known = replace(only(survey(volume("a", snapshot(members=["a"])))), state="resyncing")
    unfinished = survey(volume("a", plex_state="resyncing"))
    one = only(unfinished, Known(known))
    assert one.state == "resyncing"
    assert sets.choose([one], "noon", unfinished) is one
    assert only(survey(volume("a", plex_state="in_sync")), Known(known)).state == "dissolved"


def test_names_of_sets():
    view = survey(
        volume("a", snapshot(members=["a"])),
        volume("z", snapshot(OTHER, members=["z"]), group="h"),
    )
    every = sets.assemble(view, None)
    for text in (ID, ID.upper(), "g@noon", ID[:8]):
        assert sets.choose(every, text, view).id == ID
    with pytest.raises(InvalidError, match="ambiguous"):
        sets.choose(every, "noon", view)
    for text in ("none", "x@noon", "g@", ID[:7]):
        with pytest.raises(NotFoundError):
            sets.choose(every, text, view)


def test_an_unknown_set_may_be_one_of_an_unreadable_volume():
    with pytest.raises(CorruptError):
        sets.choose([], "noon", survey(b=CorruptError("damaged")))


def test_pins_refuse():
    one = only(survey(volume("a", snapshot(members=["a"], pin="forever"))))
    with pytest.raises(RefusedError, match="pinned"):
        sets.require_unpinned(one, "delete")
    sets.require_unpinned(replace(one, pinned_until="2000-01-01T00:00:00Z"), "delete")
