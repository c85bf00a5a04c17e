"""recovery mailbox | exchange by the command line: printed, refused, and run step by step."""

import json
import os
import pty
import shutil
import sys

import pytest
from checked import digest, need_devices
from conftest import COMMAND
from daemons import ServedCli, served
from mail import NOW, SERVER, logs, make_pair

from exshadow.model import Verification
from exshadow.service.desk import Desk
from exshadow.service.state import StateFolder

MAILBOX = ("--server", "EX1", "--database", "DB1", "--mailbox", "Ann")
FOLDERS = ("--database-folder", "D:/mdb", "--log-folder", "L:/logs")
VOLUMES = ("--database-volume", "db", "--log-volume", "logs")
EXCHANGE = ("--server", "EX1", "--database", "DB1", *FOLDERS, *VOLUMES)


@pytest.fixture
def noon(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    return shop.cli


@pytest.fixture
def log_folder(tmp_path):
    """Sound logs as a server has them now."""
    folder = tmp_path / "Logs"
    folder.mkdir()
    for name, content in SERVER.logs(1, NOW).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def proved(noon):
    """The set with a verdict of the check ese: its database needs logs 6 to 12."""
    needs = {"base": "E00", "folder": "", "required": [6, 12], "ok": True, "findings": []}
    record(noon, Verification("ese", True, "2026-01-01T00:00:00Z", "", evidence={"sets": [needs]}))
    return noon


def record(cli, verdict):
    found = cli.json("snapshot", "show", "noon")["set"]["id"]
    desk = Desk(StateFolder(cli.state))
    desk.record(lambda catalog: catalog.add_verification(found, verdict))
    desk.close()


def mailbox(cli, generation, *more, place="/mnt/noon", status=0):
    where = ("--mount", place, "--work", "W:/recovery")
    words = ("recovery", "mailbox", "shop@noon", "--exchange", generation, *MAILBOX, *where, *more)
    return cli.json(*words, status=status)


def exchange(cli, generation, *more, status=0):
    words = ("recovery", "exchange", "shop@noon", "--exchange", generation, *EXCHANGE, *more)
    return cli.json(*words, status=status)


@pytest.mark.parametrize("generation", ["2003", "2007", "2010"])
def test_a_mailbox_runbook_is_printed(noon, generation):
    book = mailbox(noon, generation, "--storage-group", "First")["runbook"]
    assert generation in book["title"]
    assert "shop@noon" in book["title"]
    ids = [step["id"] for step in book["steps"]]
    assert len(ids) >= 5
    runners = {step["runner"] for step in book["steps"]}
    assert "exshadow" in runners
    commands = "\n".join(step["command"] for step in book["steps"])
    assert "Ann" in commands + "".join(step["title"] for step in book["steps"])
    text = noon("recovery", "mailbox", "noon", "--exchange", generation, *MAILBOX,
                "--mount", "/mnt/noon", "--work", "W:/recovery").out  # fmt: skip
    assert "snapshot mount shop@noon /mnt/noon" in text
    if generation == "2010":
        assert "New-MailboxRestoreRequest" in text


@pytest.mark.parametrize("generation", ["2003", "2007", "2010"])
def test_a_restore_runbook_is_printed(noon, generation):
    book = exchange(noon, generation, "--storage-group", "First")["runbook"]
    assert "point in time" in book["title"]
    assert any("never proven" in warning for warning in book["warnings"])
    assert any("restore shop@noon" in step["command"] for step in book["steps"])


def test_a_verified_set_is_not_warned_about(noon, log_folder):
    def warned():
        book = exchange(noon, "2010")["runbook"]
        return any("never proven" in warning for warning in book["warnings"])

    noon("snapshot", "verify", "noon")  # the bytes are equal, whatever they are
    assert warned()
    forward = ("--roll-forward", "--logs-on-disk", log_folder)
    error = exchange(noon, "2010", *forward, status=4)["error"]
    assert "no proof of the set" in error["message"]
    assert "snapshot verify shop@noon --check ese" in error["hint"]
    record(noon, Verification("ese", True, "2026-01-01T00:00:00Z", ""))
    assert not warned()


def test_to_the_point_of_failure(proved, log_folder):
    forward = ("--roll-forward", "--logs-on-disk", log_folder)
    book = exchange(proved, "2010", *forward)["runbook"]
    assert "point of failure" in book["title"]
    commands = [step["command"] for step in book["steps"]]
    assert "exshadow restore shop@noon --volume db --roll-forward --keep-current" in commands
    book = exchange(proved, "2010", *forward, "--no-keep-current")["runbook"]
    assert not any("--keep-current" in step["command"] for step in book["steps"])


def test_logs_that_are_gone_below_and_at_the_end_are_missed(proved, log_folder):
    def message():
        forward = ("--roll-forward", "--logs-on-disk", log_folder)
        return exchange(proved, "2010", *forward, status=4)["error"]["message"]

    for number in range(1, 8):
        (log_folder / f"E00{number:08X}.log").unlink()
    assert "rule: the chain of logs is broken: 6, 7 missing (-543)" in message()
    (log_folder / "E00.log").unlink()
    assert "the current log E00.log is not there" in message()


def test_what_a_mailbox_cannot_come_from_is_refused(noon):
    def message(generation, *more):
        return mailbox(noon, generation, *more, status=4)["error"]["message"]

    assert "rule: a recovery database takes mailbox" in message("2010", "--public-folders")
    assert "rule: one recovery storage group" in message("2007", "--recovery-place-in-use")
    assert "administrative group" in message("2003", "--other-administrative-group")
    assert "exist in the directory" in message("2003", "--mailbox-gone")


def test_a_server_elsewhere_is_told_where_it_sees_the_set(noon):
    assert "--source" in mailbox(noon, "2010", "--on", "EX1", status=2)["error"]["message"]
    book = mailbox(noon, "2010", "--on", "EX1", "--source", "//HERE/noon")["runbook"]
    commands = {step["id"]: step["command"] for step in book["steps"]}
    assert commands["mount-set"] == "exshadow snapshot mount shop@noon /mnt/noon"
    assert commands["copy-files"].startswith('robocopy "//HERE/noon" "W:/recovery"')


def test_what_is_refused(proved, log_folder):
    noon = proved

    def message(status, *more):
        return exchange(noon, *more, status=status)["error"]["message"]

    forward = ("--roll-forward", "--logs-on-disk", log_folder)
    assert "--logs-on-disk" in message(2, "2010", "--roll-forward")
    assert "rule: under circular logging" in message(4, "2010", *forward, "--circular-logging")
    assert "rule: logs and databases share" in message(4, "2010", *forward, "--log-volume", "db")
    assert "single copy cluster" in message(4, "2010", "--cluster", "EVS1")
    assert "storage group" in message(2, "2003")
    (log_folder / "E000000000A.log").unlink()
    assert "rule: the chain of logs is broken: 10 (0xA) missing" in message(4, "2010", *forward)
    empty = log_folder.parent / "empty"
    empty.mkdir()
    exchange(noon, "2010", "--roll-forward", "--logs-on-disk", empty, status=3)
    noon.error(3, "recovery", "exchange", "other@noon", "--exchange", "2010", *EXCHANGE)
    noon.error(2, "recovery", "exchange", "noon", "--exchange", "1999", *EXCHANGE)


def test_what_is_proved_here_comes_before_the_server_is_touched(noon):
    keep = "--no-keep-current"
    message = exchange(noon, "2010", keep, "--run", status=6)["error"]["message"]
    assert "step 'prove-set' (Prove the set's copies) ended with 5: exshadow: check ese" in message
    exchange(noon, "2010", keep, "--run", "--on", "server", status=4)  # pypsrp is an extra


# --- run, on a terminal ---


def terminal(cli, answers, *words):
    """Run on a pseudo terminal; each answer is typed when it is asked. What it showed, and the
    exit status."""
    child, line = pty.fork()
    if child == 0:
        os.execve(COMMAND[0], [*COMMAND, *map(str, words)], cli.environment)
    shown, asked = b"", 0
    while True:
        try:
            piece = os.read(line, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        while shown.count(b"[y/N]") > asked:
            os.write(line, f"{answers[asked] if asked < len(answers) else 'n'}\n".encode())
            asked += 1
    os.close(line)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def server(cli, tmp_path):
    """Stand-ins for the server's programs: they write down what they were asked to do."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("pwsh", "cmd.exe"):
        (tools / name).write_text(
            f"#!{sys.executable}\n"
            "import os, pathlib, sys\n"
            f"with open({str(tools / 'done')!r}, 'a') as file:\n"
            "    file.write(sys.argv[-1] + '\\n')\n"
            f"fail = pathlib.Path({str(tools / 'fail')!r})\n"
            "if fail.exists() and fail.read_text() in sys.argv[-1]:\n"
            "    print('it does not want to'); sys.exit(9)\n"
        )
        (tools / name).chmod(0o755)
    return tools


@pytest.fixture
def mail(state, fork_server, server, tmp_path):
    """A served mail server's volumes with their set."""
    need_devices()
    if shutil.which("mount.ntfs-3g", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("needs ntfs-3g")
    line = ServedCli(state, fork_server)
    line.environment["PATH"] = f"{server}:{os.environ['PATH']}"
    with served(line, tmp_path):
        yield make_pair(line, tmp_path, spare=2)


def test_a_mailbox_is_brought_back_step_by_step(mail, server, tmp_path):
    words = ("recovery", "mailbox", "mail@noon", "--exchange", "2010", *MAILBOX,
             "--mount", tmp_path / "mnt", "--work", "W:/recovery", "--run")  # fmt: skip
    (server / "fail").write_text("robocopy")
    shown, status = terminal(mail.cli, [], *words)
    assert status == 6, shown
    assert "ended with 9: it does not want to" in shown
    assert (tmp_path / "mnt" / "maildb" / "Mailbox").is_dir()  # steps before were done
    (server / "fail").unlink()
    shown, status = terminal(mail.cli, ["n"], *words)
    assert "Not confirmed" in shown
    assert status == 4
    shown, status = terminal(mail.cli, ["y"] * 9, *words)
    assert status == 0, shown
    assert shown.count("done before") == 3  # mount, proof and copy
    done = (server / "done").read_text()
    assert done.count("robocopy") == 2
    assert done.count("eseutil /r") == 1
    assert "New-MailboxRestoreRequest" in done
    assert not (tmp_path / "mnt" / "maildb" / "Mailbox").exists()  # let go of in the end
    shown, status = terminal(mail.cli, ["y"] * 9, *words)  # for a second disaster: all of it again
    assert status == 0, shown
    assert "done before" not in shown
    assert (server / "done").read_text().count("eseutil /r") == 2


def test_exchange_is_rolled_forward_step_by_step(mail, server, tmp_path):
    mail.change("maillog", logs(NOW))
    mail.break_database()
    current = tmp_path / "Logs"
    current.mkdir()
    for name, content in SERVER.logs(1, NOW).items():
        (current / name).write_bytes(content)
    databases = tmp_path / "mdb"
    databases.mkdir()
    (databases / "Mailbox.edb").write_bytes(SERVER.database())  # as the server sees its volume
    mail.cli("snapshot", "verify", "noon", "--check", "ese")
    words = ("recovery", "exchange", "mail@noon", "--exchange", "2010", "--server", "EX1",
             "--database", "DB1", "--database-folder", databases, "--log-folder", current,
             "--database-volume", "maildb", "--log-volume", "maillog",
             "--roll-forward", "--logs-on-disk", current, "--run")  # fmt: skip
    shown, status = terminal(mail.cli, ["y"] * 9, *words)
    assert status == 0, shown
    assert digest(mail.image("maildb")) == digest(mail.folder / "maildb-m2.img")
    done = (server / "done").read_text()
    assert done.index("Dismount-Database") < done.index("Mount-Database")
    sets = mail.cli.json("snapshot", "list")["sets"]
    assert [one["label"] for one in sets] == ["noon", "before-restore"]
    journals = list((mail.cli.state / "runbooks").glob("*.json"))
    assert set(json.loads(journals[0].read_text())["states"].values()) == {"done"}


def test_what_a_runbook_could_not_use_is_refused(noon, tmp_path):
    def refused(status, *more):
        return exchange(noon, "2010", *more, status=status)["error"]["message"]

    assert "has no volume nope" in refused(3, "--database-volume", "nope")
    assert "has no volume nope" in refused(3, "--log-volume", "nope")
    assert "--logs-on-disk goes with" in refused(2, "--logs-on-disk", tmp_path)
    assert "no prefix of log files" in refused(2, "--log-prefix", "E0")
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xff\xfe")
    assert "go with --on" in refused(2, "--run", "--password-file", secret)
    assert "not UTF-8" in refused(2, "--run", "--on", "EX1", "--password-file", secret)
