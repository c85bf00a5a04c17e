"""The simulated programs as commands: strict grammar; the provider finds and ends them for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from sfw_trial import LIMITS, NoJournal, Trial

from exshadow.errors import TimedOutError, UnsupportedError
from exshadow.providers import registry
from exshadow.providers.contract import Action, MirrorState, Stage, Verb
from exshadow.providers.sfw.settings import PROGRAMS
from exshadow.providers.steps import carry_out
from simulators.sfw import copying, faults, program, world

DEVICE = "\\Device\\HarddiskDmVolumes\\MAIL\\db"

UNIX = [
    "vxsnap -g MAIL make source=db/newvol=SNAP/plex=db-02",
    "vxsnap -g MAIL prepare db regionsize=64k",
    "vxsnap -g MAIL addmir db",
    "vxsnap -g MAIL refresh SNAP source=db",
    "vxsnap -g MAIL dis SNAP",
    "vxsnap -g MAIL split SNAP",
    "vxsnap -g MAIL syncwait SNAP",
    "vxsnap -g MAIL reattach SNAP source=db",
    "vxsnap -g MAIL restore db source=SNAP",
    "vxsnap -gMAIL print",
    "vxassist -g MAIL snapback db",
    "vxassist -gMAIL snapwait db",
    "vxassist -gMAIL -o allplexes snapback db",
    "vxassist -gMAIL snapshot db SNAP-db",
    "vxdg -gMAIL deport",
]
ODD = [
    "vxsnap create source=W:/newvol=x",  # no -x
    "vxsnap -x s.xml create source=W:/snapvol=x",
    "vxsnap -x s.xml -b create source=W:/newvol=x",
    "vxsnap -x s.xml create source=W:/newvol=a-name-that-is-much-too-long",
    "vxsnap -x s.xml create",
    "vxassist prepare db Harddisk3",  # an internal name needs its group
    "vxassist -gMAIL prepare none Harddisk3",
    "vxassist -gMAIL prepare db Harddisk9",
    "vxassist -gMAIL prepare db Harddisk1",  # where it lies itself
    "vxassist -gMAIL -o resyncfromreplica prepare db Harddisk3",
    "vxassist -x -gMAIL prepare db",
    "vxassist -gMAIL snapabort db plex=db-01",  # serves production
    "vxassist -gMAIL snapclear db",
    "vxassist -f assign W: DriveLetter=L:",  # in use
    "vxassist -f assign W: DriveLetter=Long:",
    "vxassist unassign W: DriveLetter=X:",
    "vxdg -g MAIL -n OFF -f -s split db",  # open
    "vxdg -g NONE -f -C import",
    "vxdg -g MAIL deport",  # open volumes
    "vxvol volinfo db",
    "vxvol volinfo X:",
]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


@pytest.mark.parametrize("line", [*UNIX, *ODD])
def test_what_no_document_permits_is_refused_and_changes_nothing(trial: Trial, line: str) -> None:
    before = (trial.world / "world.json").read_bytes()
    name, *words = line.split()
    status, text = program.call(trial.world, name, words)
    assert status != 0
    assert text.startswith("V-0")
    assert (trial.world / "world.json").read_bytes() == before


def test_a_resync_copies_only_regions_that_changed_on_either_side(trial: Trial) -> None:
    set_id = trial.split()
    trial.write("db", 0, b"production")
    members = trial.do(Verb.PRESENT, set_id).members
    copy = Path(next(one.path for one in members if one.volume == "db"))
    with copy.open("r+b") as file:
        file.seek(2 * copying.REGION)
        file.write(b"the copy was written")
    trial.do(Verb.UNPRESENT, set_id)
    trial.hold()
    trial.provider().start(trial.act(Verb.RESYNC, set_id))
    with world.opened(trial.world) as found:
        plexes = found.groups["MAIL"]["volumes"]["db"]["plexes"].values()
        dirty = next(one["dirty"] for one in plexes if one["state"] == "SNAPTMP")
    assert dirty == [0, 2]
    trial.release()
    trial.do(Verb.RESYNC, set_id)
    assert trial.copy(trial.split()) == trial.all()


def test_without_b_a_command_lasts_as_long_as_its_copy(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.state["sync_seconds"] = 0.3
    begun = time.monotonic()
    program.call(trial.world, "vxassist", ["-gMAIL", "prepare", "db", "Harddisk3"])
    assert time.monotonic() - begun >= 0.3
    assert "SNAPDONE" in program.call(trial.world, "vxvol", ["volinfo", "W:"])[1]


def test_progress_is_told_while_a_mirror_is_synchronised(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.state["sync_seconds"] = 30.0
    action = trial.act(Verb.PREPARE)
    trial.provider().start(action)
    with world.opened(trial.world) as found:
        found.state["looked"] -= 15
    standing = trial.provider().standing(action)
    assert standing.stage is Stage.RUNNING
    assert 0.3 < standing.done / standing.total < 0.9
    mirror = trial.provider().mirrors(trial.group, trial.sources)[0]
    assert mirror.percent is not None
    assert 30 < mirror.percent < 90


# --- real processes ---


def test_programs_named_in_the_settings_are_run(trial: Trial) -> None:
    provider = registry.build("sfw", trial.settings)
    set_id = str(uuid.uuid4())
    for verb in (Verb.PREPARE, Verb.SPLIT):
        carry_out(provider, trial.act(verb, "" if verb is Verb.PREPARE else set_id),
                  NoJournal(), limits=LIMITS)  # fmt: skip
    assert trial.copy(set_id) == trial.all()


def test_programs_on_path_are_found_and_missing_ones_are_told(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    unnamed = {name: value for name, value in trial.settings.items() if name not in PROGRAMS}
    provider = registry.build("sfw", unnamed)
    with pytest.raises(UnsupportedError, match="vxvol is not here"):
        provider.mirrors(trial.group, trial.sources)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert provider.mirrors(trial.group, trial.sources)[0].state is MirrorState.NONE


def test_a_program_that_hangs_is_ended_and_the_state_decides(trial: Trial, tmp_path: Path) -> None:
    shorter = tmp_path / "shorter.toml"
    shorter.write_text(
        '[command.prepare]\ntext = "vxassist -b -g{group} prepare {volume} {disks...}"\n'
        'each.disks = "{disk}"\nsure = "confirmed"\nlimit = 2\n'
    )
    provider = registry.build("sfw", {**trial.settings, "commands": str(shorter)})
    faults.plan(trial.world, "vxassist", "prepare", "hang")
    action = trial.act(Verb.PREPARE)
    with pytest.raises(TimedOutError, match="was not done in time, and db has no snap plex"):
        provider.start(action)
    faults.plan(trial.world, "vxassist", "prepare", "hang-after")
    carry_out(provider, action, NoJournal(), limits=LIMITS)
    assert trial.state_of() is MirrorState.READY


CHILD = """
import json, sys
from exshadow.providers import registry
from exshadow.providers.contract import Action
told = json.loads(sys.argv[1])
registry.build("sfw", told["settings"]).start(Action.from_json(told["action"]))
"""


@pytest.mark.kill
@pytest.mark.parametrize("kind", ["hang", "hang-after"])
def test_killed_for_real_in_a_split_the_next_process_ends_it(trial: Trial, kind: str) -> None:
    trial.do(Verb.PREPARE)
    then = trial.all()
    action = Action(
        str(uuid.uuid4()), Verb.SPLIT, trial.group, "m1", trial.sources, str(uuid.uuid4())
    )
    faults.plan(trial.world, "vxsnap", "create", kind)
    told = json.dumps({"settings": trial.settings, "action": action.to_json()})
    child = subprocess.Popen([sys.executable, "-c", CHILD, told])
    try:
        hanging = waited(trial.world / "hanging")
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    os.kill(hanging, signal.SIGKILL)
    carry_out(trial.provider(), action, NoJournal(), limits=LIMITS)
    assert trial.copy(action.set_id) == then
    assert len(list(trial.sets.glob("*.json"))) == 1


def waited(path: Path) -> int:
    """The number in the file that a hanging program leaves."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError("nothing hangs")
