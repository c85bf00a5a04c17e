"""restore --roll-forward after the restore: the second proof tells what was done, whatever it
meets."""

import shutil
import signal
from types import SimpleNamespace

import pytest
from checked import digest, need_devices, no_traces
from mail import NOW, logs, make_pair

from exshadow.errors import CancelledError, Error, IntegrityError, UnsupportedError
from exshadow.model import ROLL_FORWARD, SetRecord, Verification, summary
from exshadow.service.checks.ground import Unsound
from exshadow.service.desk import Desk, StopRequested
from exshadow.service.restore import RestoreWish
from exshadow.service.roll_forward import proofs
from exshadow.service.roll_forward.forward import roll_forward
from exshadow.service.roll_forward.grounds import ForwardGround
from exshadow.service.state import StateFolder

# Programs that serve views end with what they serve; in a command nobody is left to remark it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def later(cli, tmp_path):
    need_devices()
    if shutil.which("mount.ntfs-3g", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("needs ntfs-3g: run scripts/packages.sh")
    pair = make_pair(cli, tmp_path)
    pair.change("maillog", logs(NOW))
    pair.break_database()
    yield pair
    assert no_traces(cli.state) == []


def restored(later):
    return digest(later.image("maildb")) == digest(later.folder / "maildb-m2.img")


def shown(later):
    return later.cli.json("snapshot", "show", "noon")["set"]


def second_meets(monkeypatch, problem):
    """The proof after the restore raises `problem`."""
    real, calls = proofs.prove, []

    def prove(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise problem
        return real(*arguments)

    monkeypatch.setattr(proofs, "prove", prove)


def forward(later):
    desk = Desk(StateFolder(later.cli.state))
    try:
        return roll_forward(desk, "noon", RestoreWish(roll_forward=True))
    finally:
        desk.close()


def test_interrupted_it_says_that_the_databases_are_restored(later):
    process = later.cli.start("--json", "restore", "noon", "--roll-forward")
    for line in process.stderr:
        if "compare of" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "the databases of mail@noon are restored, and not proved" in out
    assert "nothing was changed" not in out
    assert restored(later)
    assert shown(later)["checks"] == []
    assert later.roll_forward()["verdict"]["ok"]


@pytest.mark.parametrize(
    ("problem", "detail"),
    [
        (Unsound("maillog: ntfs cannot be mounted", {"mount": "bad superblock"}), "bad superblock"),
        (OSError(5, "Input/output error", "E00.log"), "cannot be read"),
    ],
    ids=["unsound", "unreadable"],
)
def test_what_it_finds_is_a_verdict(later, monkeypatch, problem, detail):
    second_meets(monkeypatch, problem)
    done = forward(later)
    assert isinstance(done.error, IntegrityError)
    assert detail in done.error.message
    found = shown(later)
    (verdict,) = found["checks"]
    assert (verdict["check"], verdict["ok"]) == (ROLL_FORWARD, False)
    assert verdict["seconds"] > 0
    assert found["verified"] is None  # it says nothing of the copies
    assert restored(later)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [(UnsupportedError("no such tool"), UnsupportedError), (StopRequested(), CancelledError)],
)
def test_what_keeps_it_from_ending_says_what_was_done(later, monkeypatch, problem, kind):
    second_meets(monkeypatch, problem)
    with pytest.raises(kind, match="are restored, and not proved") as told:
        forward(later)
    assert isinstance(told.value, Error)
    assert "--roll-forward" in told.value.hint
    assert restored(later)


def test_a_good_verdict_ends_with_the_copies_it_was_given_for(later):
    later.roll_forward()
    assert [one["check"] for one in shown(later)["checks"]] == [ROLL_FORWARD]
    copy = later.folder / "maildb-m2.img"
    with copy.open("r+b") as file:
        file.write(file.read(1))
    assert shown(later)["checks"] == []


def test_its_verdict_is_not_the_sets():
    good = Verification("ese", True, "2026-01-01T00:00:00Z", "")
    bad = Verification(ROLL_FORWARD, False, "2026-01-02T00:00:00Z", "logs are gone")
    assert summary((good, bad)) is good
    assert summary((bad,)) is None


def test_a_proof_may_take_as_long_as_it_takes():
    stops = []
    desk = SimpleNamespace(check_stop=lambda: stops.append(1))
    one = SetRecord("id", "noon", "mail", "", "native", "crash", "ready", ())
    ground = ForwardGround(desk, None, one, {})
    ground._begun -= 1e9
    ground.tick()
    assert stops == [1]
