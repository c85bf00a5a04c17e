"""Every EVA trap of the fact sheet ends in its right refusal or recovery."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from eva_story import LIMITS, SET, NoJournal, action, do
from provider_bed_eva import BACKUP, PROD, EvaBed, EvaSnapcloneBed, EvaSnapshotBed, eva_state

from exshadow.errors import (
    Error,
    InvalidError,
    NoSpaceError,
    NotFoundError,
    PermissionRefusedError,
    ProviderError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
)
from exshadow.providers import eva, registry
from exshadow.providers.contract import MirrorState, Source, Stage, Verb
from exshadow.providers.steps import carry_out

OTHER = "00000000-1111-4222-8333-444444444444"


@pytest.fixture
def bed(tmp_path: Path):
    yield from _bed(EvaBed, tmp_path)


@pytest.fixture
def snapshots(tmp_path: Path):
    yield from _bed(EvaSnapshotBed, tmp_path)


@pytest.fixture
def snapclones(tmp_path: Path):
    yield from _bed(EvaSnapcloneBed, tmp_path)


def _bed(kind, folder: Path):
    made = kind(folder / "bed") if (folder / "bed").mkdir() is None else None
    yield made
    made.close()


def production(bed: EvaBed) -> dict[str, bytes]:
    return {one.name: bed.read(one.name) for one in bed.sources}


def said(bed: EvaBed, *words: str) -> list[int]:
    """Where in the array's log of commands these words begin a command."""
    return [at for at, line in enumerate(bed.get("log")) for word in words if line.startswith(word)]


# --- the session ---


def test_an_error_line_beside_a_status_of_zero_is_an_error(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    bed.set(traps={"error_but_zero": "FRACTURE"})
    with pytest.raises(ProviderError, match="Operation failed"):
        do(bed, Verb.SPLIT)
    bed.set(traps={"error_but_zero": ""})
    assert bed.provider().standing(action(bed, Verb.SPLIT)).stage is Stage.HALF
    do(bed, Verb.SPLIT)


def test_an_error_in_the_middle_of_several_commands_is_not_passed_over(bed: EvaBed) -> None:
    """The session goes on after an error (on_error=Continue): every command is judged alone."""
    bed.set(traps={"error_but_zero": 'ADD MIRRORCLONE "DB'})
    with pytest.raises(ProviderError, match="Operation failed"):
        do(bed, Verb.PREPARE)
    assert bed.provider().standing(action(bed, Verb.PREPARE)).stage is not Stage.DONE
    bed.set(traps={"error_but_zero": 'ADD MIRRORCLONE "LOGS'})  # the one before it is made
    with pytest.raises(ProviderError, match="Operation failed"):
        do(bed, Verb.PREPARE)
    assert [name.split("-")[0] for name in bed.copies()] == ["db"]
    bed.set(traps={"error_but_zero": ""})
    do(bed, Verb.PREPARE)
    assert [name.split("-")[0] for name in bed.copies()] == ["db", "logs"]


def test_without_status_lines_nothing_is_believed(bed: EvaBed) -> None:
    bed.set(traps={"no_status": True})
    with pytest.raises(ProviderError, match="no status") as found:
        do(bed, Verb.PREPARE)
    assert "options" in found.value.hint
    assert not bed.copies()


def test_objects_named_like_the_prompt_fool_nobody(bed: EvaBed) -> None:
    with eva_state.edit(bed.array) as state:
        for name in ("EVA1>", "EVA1> ", "NoSystemSelected>", "x\\EVA1>", "Status : 0"):
            eva_state.add_vdisk(state, bed.array, name, "original", 1 << 20)
    then = production(bed)
    made = do(bed, Verb.PREPARE, Verb.SPLIT, Verb.PRESENT)
    assert {one.volume: bed.read_copy(one) for one in made.members} == then


def test_banner_prompt_and_control_bytes_within_a_listing_change_nothing(bed: EvaBed) -> None:
    clean = bed.provider().array.look()
    bed.set(traps={"dirty_xml": True})
    assert bed.provider().array.look() == clean
    do(bed, Verb.PREPARE, Verb.SPLIT)


def test_a_wrong_password_is_told_and_shown_nowhere(bed: EvaBed) -> None:
    bed.set(array={"password": "another"})
    one = bed.provider()
    with pytest.raises(ProviderError, match="could not log in") as found:
        one.standing(action(bed, Verb.PREPARE))
    assert "secret word" not in str(found.value) + repr(one.commands.log)


def test_the_password_is_in_no_argument_and_no_log(bed: EvaBed) -> None:
    one = bed.provider()
    one.standing(action(bed, Verb.PREPARE))
    child = one.array._session._child
    arguments = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert b"secret word" not in arguments
    assert "secret word" not in repr(one.commands.log)
    assert one.commands.masked("a secret word") == "a ****"


def test_a_password_file_that_others_can_read_is_refused(bed: EvaBed) -> None:
    (bed.folder / "password").chmod(0o644)
    with pytest.raises(PermissionRefusedError, match="read by others"):
        bed.provider().standing(action(bed, Verb.PREPARE))


@pytest.mark.parametrize(
    ("word", "verb"),
    [
        ("ADD MIRRORCLONE", Verb.PREPARE),
        ("NAME=", Verb.SPLIT),
        ("WRITETHROUGH", Verb.SPLIT),
        ("FRACTURE", Verb.SPLIT),
        ("WRITEBACK", Verb.SPLIT),
        ("ADD LUN", Verb.PRESENT),
        ("INSTANT_RESTORE", Verb.RESTORE),
        ("RESYNC", Verb.RESYNC),
        ("DETACH", Verb.DISSOLVE),
    ],
)
def test_a_command_that_says_it_was_good_and_did_nothing_is_not_believed(
    bed: EvaBed, word: str, verb: Verb
) -> None:
    if verb is not Verb.PREPARE:
        do(bed, Verb.PREPARE)
    if verb not in (Verb.PREPARE, Verb.SPLIT):
        do(bed, Verb.SPLIT)
    then = production(bed)
    bed.write("db", 0, b"newer")
    bed.set(traps={"ignored": word})
    one = bed.provider(settle_seconds="0.3", flush_seconds="0.3")
    with pytest.raises(
        (ProviderError, TimedOutError, RefusedError), match=r"no effect|showed no|flush"
    ):
        do(bed, verb, provider=one)
    assert one.standing(action(bed, verb)).stage is not Stage.DONE
    bed.set(traps={"ignored": ""})
    if verb is Verb.RESTORE:  # it may be over and unseen, so the same one is not given again
        with pytest.raises(ProviderError, match="never seen"):
            do(bed, verb)
        anew = replace(action(bed, verb), id="another restore")
        carry_out(bed.provider(), anew, NoJournal(), limits=LIMITS)
        assert production(bed) == then
    else:
        do(bed, verb)


@pytest.mark.parametrize("what", ["hang", "hang_after"])
def test_a_command_that_does_not_come_back_is_read_back(bed: EvaBed, what: str) -> None:
    bed.set(traps={"at": 1, "what": what})
    one = bed.provider(step_seconds="0.5")
    if what == "hang_after":  # the effect is there: nothing is lost but time
        with eva_state.edit(bed.array) as state:
            state["times"]["answer"] = 0.0
        do(bed, Verb.PREPARE, provider=one)
    else:
        with pytest.raises(TimedOutError):
            do(bed, Verb.PREPARE, provider=one)
        do(bed, Verb.PREPARE)
    assert len(bed.copies()) == 2


# --- whose array ---


def test_an_array_that_another_manager_took_is_left_alone_without_consent(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    bed.set(traps={"at": bed.get("changes") + 3, "what": "takeover"})
    with pytest.raises(RefusedError, match=r"cv\.other") as found:
        do(bed, Verb.SPLIT)
    assert "takeover = yes" in found.value.hint
    assert not said(bed, "SET SYSTEM")
    assert bed.provider().facts().managed_by_other == "cv.other"


def test_with_consent_it_is_taken_and_the_command_repeated(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    bed.set(traps={"at": bed.get("changes") + 3, "what": "takeover"})
    do(bed, Verb.SPLIT, provider=bed.provider(takeover="yes"))
    assert len(said(bed, "SET SYSTEM")) == 1


# --- kinds against each other ---


def test_no_snapclone_while_a_snapshot_exists(snapclones: EvaBed) -> None:
    do(snapclones, Verb.PREPARE)
    with eva_state.edit(snapclones.array) as state:
        source = next(iter(state["vdisks"].values()))
        eva_state.add_vdisk(
            state, snapclones.array, "by_hand", "fully", source["size"],
            source=source["id"], family=source["family"],
        )  # fmt: skip
    before = snapclones.copies()
    with pytest.raises(RefusedError, match="by_hand"):
        do(snapclones, Verb.SPLIT)
    assert snapclones.copies() == before


def test_no_second_kind_of_snapshot_on_one_source(snapshots: EvaBed) -> None:
    do(snapshots, Verb.PREPARE, Verb.SPLIT)
    with pytest.raises(RefusedError, match="allocated fully"):
        do(snapshots, Verb.SPLIT, mirror="m2", set_id=OTHER,
           provider=snapshots.provider(allocation="demand"))  # fmt: skip


def test_a_second_snapclone_waits_until_the_first_is_normalised(snapclones: EvaBed) -> None:
    snapclones.set(times={"unshare": 0.4})
    do(snapclones, Verb.PREPARE)
    do(snapclones, Verb.PREPARE, mirror="m2")
    do(snapclones, Verb.SPLIT)
    begun = time.monotonic()
    do(snapclones, Verb.SPLIT, mirror="m2", set_id=OTHER)
    assert time.monotonic() - begun > 0.2


def test_with_writers_held_a_second_snapclone_is_refused_at_once(snapclones: EvaBed) -> None:
    do(snapclones, Verb.PREPARE)
    do(snapclones, Verb.PREPARE, mirror="m2")
    snapclones.hold()
    do(snapclones, Verb.SPLIT)
    held = action(snapclones, Verb.SPLIT, "m2", OTHER, writers=True)
    with pytest.raises(RefusedError, match="normalised"):
        snapclones.provider().start(held)


def test_a_clone_is_not_read_while_it_is_still_copying(snapclones: EvaBed) -> None:
    do(snapclones, Verb.PREPARE)
    snapclones.hold()
    do(snapclones, Verb.SPLIT)
    with pytest.raises(TimedOutError, match="normalised"):
        do(snapclones, Verb.PRESENT, provider=snapclones.provider(copying_seconds="0.2"))
    snapclones.release()
    do(snapclones, Verb.PRESENT)


# --- order of removal ---


def test_unsharing_is_waited_for_before_anything_is_deleted(snapclones: EvaBed) -> None:
    snapclones.set(times={"unshare": 0.4})
    do(snapclones, Verb.PREPARE, Verb.SPLIT, Verb.RESYNC)
    assert snapclones.provider().mirrors("mail", snapclones.sources)[0].state is MirrorState.READY
    snapclones.hold()
    do(snapclones, Verb.SPLIT)
    with pytest.raises(TimedOutError):
        do(snapclones, Verb.RESYNC, provider=snapclones.provider(copying_seconds="0.2"))
    assert any("-s" in name for name in snapclones.copies())


@pytest.mark.parametrize("kind", [EvaBed, EvaSnapshotBed, EvaSnapcloneBed])
def test_a_presented_set_is_not_resynced_and_luns_go_before_vdisks(
    kind: type[EvaBed], tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    do(bed, Verb.PREPARE, Verb.SPLIT, Verb.PRESENT)
    before = bed.copies()
    with pytest.raises(RefusedError, match="presented"):
        do(bed, Verb.RESYNC)
    assert bed.copies() == before
    do(bed, Verb.UNPRESENT, Verb.RESYNC)
    if kind is not EvaBed:
        assert max(said(bed, "DELETE LUN")) < min(said(bed, "DELETE VDISK"))
    bed.close()


def test_the_next_set_of_a_mirror_is_the_same_device(snapshots: EvaBed) -> None:
    seen = []
    for set_id in (SET, OTHER):
        do(snapshots, Verb.PREPARE, Verb.SPLIT, set_id=set_id)
        made = do(snapshots, Verb.PRESENT, set_id=set_id)
        luns = [lun["number"] for lun in snapshots.get("luns") if lun["host"] == BACKUP]
        names = [Path(one.path).name for one in made.members]
        ids = [(snapshots.array / f"sys/block/{name}/device/wwid").read_text() for name in names]
        seen.append((luns, names, ids))
        do(snapshots, Verb.UNPRESENT, Verb.RESYNC, set_id=set_id)
    assert seen[0] == seen[1]


def test_a_copy_that_is_mounted_here_is_not_taken_away(bed: EvaBed) -> None:
    made = do(bed, Verb.PREPARE, Verb.SPLIT, Verb.PRESENT)
    (bed.folder / "mounts").write_text(f"{made.members[0].path} /mnt/check ext4 rw 0 0\n")
    with pytest.raises(RefusedError, match="/mnt/check"):
        do(bed, Verb.UNPRESENT)
    (bed.folder / "mounts").write_text("")
    do(bed, Verb.UNPRESENT)


def test_production_that_is_mounted_is_not_restored_over(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE, Verb.SPLIT)
    then = production(bed)
    bed.write("db", 0, b"newer")
    (bed.folder / "mounts").write_text(f"{bed.sources[0].path} /srv ext4 rw 0 0\n")
    with pytest.raises(RefusedError, match="/srv"):
        do(bed, Verb.RESTORE)
    assert bed.read("db") != then["db"]
    (bed.folder / "mounts").unlink()
    do(bed, Verb.RESTORE)
    assert production(bed) == then


# --- mirrorclone states ---


def test_a_synchronised_mirrorclone_is_not_presented(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    bed.set(traps={"error_but_zero": "FRACTURE"})
    with pytest.raises(ProviderError):
        do(bed, Verb.SPLIT)  # named, but not fractured
    with pytest.raises(RefusedError, match="synchronised mirrorclone") as found:
        do(bed, Verb.PRESENT)
    assert found.value.hint == "fracture it first"
    assert not said(bed, "ADD LUN")


def test_a_set_torn_by_a_part_fracture_is_made_anew_at_one_instant(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    bed.set(traps={"error_but_zero": "FRACTURE"})
    with pytest.raises(ProviderError):
        do(bed, Verb.SPLIT)
    bed.set(traps={"error_but_zero": ""})
    with eva_state.edit(bed.array) as state:  # one of two was fractured nevertheless
        one = next(x for x in state["vdisks"].values() if x["form"] == "mirrorclone")
        one["phase"] = "fractured"
    assert bed.provider().standing(action(bed, Verb.SPLIT)).stage is Stage.HALF
    for one in bed.sources:
        bed.write(one.name, 0, b"later")
    then = production(bed)
    made = do(bed, Verb.SPLIT, Verb.PRESENT)
    assert {one.volume: bed.read_copy(one) for one in made.members} == then


def test_resync_moves_only_what_differs(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE, Verb.SPLIT)
    bed.write("db", 1 << 20, b"changed")
    moved = bed.get("moved")
    do(bed, Verb.RESYNC)
    assert bed.get("moved") - moved == 65536


def test_several_mirrorclones_without_a_command_for_one_instant_are_refused(bed: EvaBed) -> None:
    own = bed.folder / "own.toml"
    own.write_text('[command.fracture_set]\ntext = "-"\nsure = "confirmed"\n')
    one = bed.provider(commands=str(own))
    do(bed, Verb.PREPARE, provider=one)
    assert not one.capability(bed.sources).atomic_set
    with pytest.raises(RefusedError, match="one instant"):
        do(bed, Verb.SPLIT, provider=one)
    assert bed.get("unflushed") == 0
    assert not said(bed, "SET MULTIMIRROR")


def test_an_administrators_file_corrects_a_command_without_code(bed: EvaBed) -> None:
    own = bed.folder / "own.toml"
    own.write_text(
        '[command.resync]\ntext = \'SET VDISK "{copy}" RESYNCHRONISE\'\nsure = "confirmed"\n'
    )
    do(bed, Verb.PREPARE, Verb.SPLIT)
    with pytest.raises(ProviderError, match="Syntax error"):
        do(bed, Verb.RESYNC, provider=bed.provider(commands=str(own)))
    assert bed.provider().mirrors("mail", bed.sources)[0].state is MirrorState.SPLIT


# --- space, licence, cache ---


@pytest.mark.parametrize("outcome", ["invalidate", "stop_writes"])
def test_a_full_disk_group_breaks_demand_snapshots_and_says_so(
    snapshots: EvaBed, outcome: str
) -> None:
    demand = snapshots.provider(allocation="demand", mirrors="m1")
    do(snapshots, Verb.PREPARE, Verb.SPLIT, provider=demand)
    snapshots.set(traps={"full_outcome": outcome})
    used = sum(one["size"] * 1.25 for one in snapshots.get("vdisks").values() if not one["source"])
    snapshots.set(groups={"\\Disk Groups\\dg1": {"total": int(used) + 100_000, "alarm": 100}})
    for at in range(0, 1 << 20, 65536):
        snapshots.write("db", at, os.urandom(64))
    mirror = demand.mirrors("mail", snapshots.sources)[0]
    assert mirror.state is MirrorState.BROKEN
    assert "run full" in mirror.detail
    assert demand.standing(action(snapshots, Verb.SPLIT)).stage is Stage.FAILED
    if outcome == "invalidate":  # production goes on, but nothing can be restored from it
        then = production(snapshots)
        with pytest.raises(Error, match="failed"):
            do(snapshots, Verb.RESTORE, provider=demand)
        assert production(snapshots) == then
    else:  # production itself stands: no further copies of it
        with pytest.raises(RefusedError, match="'failed'"):
            do(snapshots, Verb.SPLIT, provider=demand, mirror="m2", set_id=OTHER)


def test_no_copy_is_begun_without_room_below_the_alarm_or_without_licence(bed: EvaBed) -> None:
    group = "\\Disk Groups\\dg1"
    bed.set(groups={group: {"total": 5 << 20, "alarm": 100}})
    with pytest.raises(NoSpaceError, match="room for"):
        do(bed, Verb.PREPARE)
    bed.set(groups={group: {"total": 20 << 20, "alarm": 10}})
    with pytest.raises(NoSpaceError, match="alarm level"):
        do(bed, Verb.PREPARE)
    bed.set(groups={group: {"total": 1 << 36, "alarm": 95}}, array={"licensed": False})
    with pytest.raises(RefusedError, match="licence"):
        do(bed, Verb.PREPARE)
    assert not bed.copies()
    assert bed.get("changes") == 0


def test_demand_snapshots_keep_ten_per_cent_in_reserve(snapshots: EvaBed) -> None:
    used = sum(one["size"] * 1.25 for one in snapshots.get("vdisks").values())
    demand = snapshots.provider(allocation="demand")
    for room, enough in ((0.05, False), (0.20, True)):
        total = int(used * (1 + room))
        snapshots.set(groups={"\\Disk Groups\\dg1": {"total": total, "alarm": 100}})
        if enough:
            do(snapshots, Verb.SPLIT, provider=demand)
        else:
            with pytest.raises(NoSpaceError):
                do(snapshots, Verb.SPLIT, provider=demand)


def test_write_through_that_never_becomes_actual_splits_nothing(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    bed.set(traps={"write_back_stuck": True})
    with pytest.raises(RefusedError, match="not flushed") as found:
        do(bed, Verb.SPLIT, provider=bed.provider(flush_seconds="0.3"))
    assert "nothing was split" in found.value.hint
    assert not said(bed, "SET MULTIMIRROR")
    assert {one["cache"] for one in bed.get("vdisks").values()} == {"writeback"}


@pytest.mark.parametrize("kind", [EvaBed, EvaSnapshotBed, EvaSnapcloneBed])
def test_no_split_is_made_from_an_unflushed_cache(kind: type[EvaBed], tmp_path: Path) -> None:
    bed = kind(tmp_path)
    bed.set(times={"flush": 0.2})
    do(bed, Verb.PREPARE, Verb.SPLIT)
    assert bed.get("unflushed") == 0
    assert {one["cache"] for one in bed.get("vdisks").values()} == {"writeback"}
    bed.close()


@pytest.mark.parametrize(
    ("kind", "count"), [(EvaBed, 3), (EvaSnapshotBed, 1), (EvaSnapcloneBed, 1)]
)
def test_armed_a_split_changes_nothing_but_names_and_the_instant(
    kind: type[EvaBed], count: int, tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    do(bed, Verb.PREPARE)
    one, split = bed.provider(), action(bed, Verb.SPLIT, writers=True)
    with one.armed(action(bed, Verb.SPLIT, set_id="", writers=True)):
        before = len(bed.get("log"))
        carry_out(one, split, NoJournal(), limits=LIMITS)
        inside = [line for line in bed.get("log")[before:] if not line.startswith("LS")]
    assert len(inside) == count  # the instant, and before it a name for each mirrorclone
    assert one.standing(split).stage is Stage.DONE
    assert {one["cache"] for one in bed.get("vdisks").values()} == {"writeback"}
    assert bed.get("unflushed") == 0
    bed.close()


# --- LUNs and devices ---


def test_a_lun_number_that_is_taken_is_passed_over(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE, Verb.SPLIT)
    one = bed.provider(lun_first="1", lun_last="3", host=PROD)  # production has 1 and 2
    with pytest.raises(RefusedError, match="no LUN number"):
        do(bed, Verb.PRESENT, provider=one)
    do(bed, Verb.PRESENT, provider=bed.provider(lun_first="1", lun_last="4", host=PROD))
    assert sorted(lun["number"] for lun in bed.get("luns")) == [1, 2, 3, 4]


def test_a_host_that_the_array_does_not_know_is_told(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE, Verb.SPLIT)
    with pytest.raises(NotFoundError, match="knows no host") as found:
        do(bed, Verb.PRESENT, provider=bed.provider(host="\\Hosts\\nobody"))
    assert BACKUP in found.value.hint
    with pytest.raises(InvalidError, match="no host"):
        do(bed, Verb.PRESENT, provider=bed.provider(host=""))


def test_volumes_that_are_not_on_the_array_are_told(bed: EvaBed) -> None:
    one = bed.provider()
    for path, word in (("/dev/nowhere", "no block device"), ("naa." + "6" * 32, "no vdisk")):
        with pytest.raises(NotFoundError, match=word):
            one.capability([Source("db", path, 1)])
    wwn = (bed.array / "sys/block/sda/device/wwid").read_text().strip()
    assert one.capability([Source("db", wwn, 1)]).delta_resync


def test_two_volumes_on_one_vdisk_are_refused(bed: EvaBed) -> None:
    made = action(bed, Verb.PREPARE)
    same = tuple(Source(one.name, bed.sources[0].path, one.size) for one in bed.sources)
    with pytest.raises(RefusedError, match="the same vdisk"):
        bed.provider().start(type(made)(made.id, made.verb, made.group, made.mirror, same))


# --- production gone, promotion ---


def test_a_set_is_promoted_when_production_is_gone(bed: EvaBed) -> None:
    then = production(bed)
    do(bed, Verb.PREPARE, Verb.SPLIT)
    with eva_state.edit(bed.array) as state:  # the disks died: nobody sees them any more
        state["luns"] = []
    made = do(bed, Verb.PROMOTE)
    assert {one.volume: bed.read_copy(one) for one in made.members} == then


def test_after_a_promotion_the_other_mirror_is_told_to_be_a_strangers(bed: EvaBed) -> None:
    do(bed, Verb.PREPARE)
    do(bed, Verb.PREPARE, mirror="m2")
    do(bed, Verb.SPLIT, Verb.PROMOTE)
    [other] = bed.provider().mirrors("mail", bed.sources)
    assert (other.label, other.state) == ("m2", MirrorState.BROKEN)
    do(bed, Verb.ABORT, mirror="m2", set_id="")
    do(bed, Verb.PREPARE, Verb.SPLIT, mirror="m2", set_id=OTHER)


def test_a_copy_of_another_kind_than_asked_for_is_no_set(snapclones: EvaBed) -> None:
    own = snapclones.folder / "own.toml"
    own.write_text('[meaning.snaptype]\nwords = { SNAPSHOT = "snapclone" }\nsure = "confirmed"\n')
    do(snapclones, Verb.PREPARE)
    wrong = snapclones.provider(commands=str(own), settle_seconds="0.3")
    with pytest.raises(TimedOutError, match="no effect"):
        do(snapclones, Verb.SPLIT, provider=wrong)
    do(snapclones, Verb.ABORT)
    do(snapclones, Verb.PREPARE, Verb.SPLIT, Verb.PRESENT)


# --- settings ---


def test_settings_that_make_no_sense_are_named(bed: EvaBed) -> None:
    for changed, word in (
        ({"kind": "clone"}, "kind"),
        ({"colour": "red"}, "colour"),
        ({"password_environment": "X"}, "password_file or"),
        ({"lun_first": "9", "lun_last": "1"}, "lun_last"),
        ({"version": "1"}, "no commands"),
    ):
        with pytest.raises(InvalidError, match=word):
            bed.provider(**changed)


def test_the_registry_makes_it_and_nothing_heavy_is_loaded_for_its_name(bed: EvaBed) -> None:
    assert registry.build("eva", bed.settings).name == "eva"
    program = "import sys, exshadow.providers.eva; print('pexpect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_sssu_that_is_not_there_is_told(bed: EvaBed) -> None:
    with pytest.raises(UnsupportedError, match="not here"):
        eva.build({**bed.settings, "sssu": "/no/sssu"}).standing(action(bed, Verb.PREPARE))
