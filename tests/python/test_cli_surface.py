"""The command line as such: help, JSON purity, usage errors, start-up time, terminals."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMAND

COMMANDS = [
    "volume add",
    "volume list",
    "volume show",
    "volume remove",
    "mirror add",
    "mirror sync",
    "mirror list",
    "mirror remove",
    "mirror verify",
    "snapshot create",
    "snapshot list",
    "snapshot show",
    "snapshot diff",
    "snapshot verify",
    "snapshot export",
    "snapshot import",
    "snapshot mount",
    "snapshot unmount",
    "snapshot resync",
    "snapshot delete",
    "snapshot promote",
    "snapshot lend",
    "snapshot recall",
    "snapshot pin",
    "restore",
    "serve",
    "attach",
    "detach",
    "vss writers",
    "vss providers",
    "vss snapshots",
    "vss backup",
    "vss restore",
    "vss break",
    "vss import",
    "vss expose",
    "vss revert",
    "vss resync",
    "catalog rebuild",
    "catalog export",
    "catalog import",
    "demo",
    "doctor",
    "bench",
    "completion",
    "help exit-codes",
]
DESTRUCTIVE = [
    "volume remove",
    "mirror add",
    "mirror sync",
    "mirror remove",
    "mirror verify",
    "snapshot import",
    "snapshot resync",
    "snapshot delete",
    "snapshot promote",
    "snapshot lend",
    "snapshot recall",
    "restore",
    "vss snapshots",
    "vss restore",
    "vss break",
    "vss revert",
    "vss resync",
    "catalog import",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(cli, command):
    page = cli(*command.split(), "--help").out
    assert f"Example: exshadow {command}" in page
    assert ("--dry-run" in page) == (command in DESTRUCTIVE)
    assert ("--yes" in page) == (command in DESTRUCTIVE)
    assert cli.json(*command.split(), "--help")["help"]


@pytest.mark.parametrize("group", ["volume", "mirror", "snapshot", "vss", "catalog", "help"])
def test_groups_have_help_and_want_a_verb(cli, group):
    page = cli(group, "--help").out
    assert "Example: exshadow" in page
    listed = [command.split()[1] for command in COMMANDS if command.split()[0] == group]
    assert all(verb in page for verb in listed)
    cli.error(2, group)
    assert "Usage" in cli(group, status=2).err


GROUPS = {
    *("volume", "mirror", "snapshot", "vss", "catalog", "ese"),
    *("recovery", "policy", "provider", "help"),
}


@pytest.mark.parametrize("group", ["", *sorted(GROUPS)])
def test_no_command_is_listed_without_a_description(cli, group):
    page = cli(*group.split(), "--help").out
    commands = page.partition("─ Commands ─")[2].partition("╰")[0].splitlines()[1:]
    assert commands
    empty = [line for line in commands if re.fullmatch(r"│ +[\w-]+ +│", line) and line[2] != " "]
    assert not empty, page


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("volume", "frobnicate"),
        ("volume", "add"),
        ("volume", "add", "db"),
        ("volume", "add", "db", "a.img", "extra"),
        ("volume", "add", "db", "a.img", "--bogus"),
        ("volume", "add", "db", "a.img", "--group"),
        ("volume", "list", "--force"),
        ("--state",),
        ("--state", "", "volume", "list"),
        ("bench", "--rounds", "many"),
        ("bench", "--size", "17"),
        ("snapshot", "pin", "x", "--clear", "--until", "1d"),
        ("completion", "tcsh"),
    ],
)
def test_wrong_usage(cli, arguments):
    error = cli.error(2, *arguments)
    assert error["code"] == "invalid"
    result = cli(*arguments, status=2)
    assert result.out == ""
    assert result.err


def test_json_may_stand_anywhere(cli):
    for arguments in (("--json", "volume", "list"), ("volume", "list", "--json")):
        assert cli(*arguments).document == {"volumes": []}


def test_state_option_beats_the_environment(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    assert cli.json("--state", tmp_path / "other", "volume", "list") == {"volumes": []}
    assert cli.json("volume", "list", "--state", cli.state)["volumes"]


def test_exit_codes_and_version(cli):
    table = cli.json("help", "exit-codes")["exit_codes"]
    assert [row["exit"] for row in table] == [*range(10), 130]
    assert "130" in cli("help", "exit-codes").out
    assert cli("--version").out.startswith("exshadow ")
    assert cli.json("--version")["version"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli, shell):
    assert "exshadow" in cli("completion", shell).out


def test_the_bash_completion_is_sound(cli, tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(cli("completion", "bash").out)
    subprocess.run(["bash", "-n", script], check=True)


def test_doctor(cli, image):
    assert cli.json("doctor")["doctor"]["state"]["exists"] is False
    assert not cli.state.exists()
    path = image("db.img")
    cli("volume", "add", "db", path)
    facts = cli.json("doctor")["doctor"]
    assert facts["engine"]["loop"]
    (plex,) = facts["plexes"]
    assert plex["path"] == str(path)
    assert "direct" in plex
    assert facts["problems"] == []
    path.unlink()
    assert cli.json("doctor")["doctor"]["problems"]
    assert "problem" in cli("doctor").out


def test_bench(cli, tmp_path):
    facts = cli.json("bench", "--dir", tmp_path, "--size", "8M", "--rounds", "1")["bench"]
    assert facts["copy"][0]["name"] == "exshadow"
    assert facts["copy"][0]["seconds"] > 0
    assert len(facts["change_map"]) == 2
    assert list(tmp_path.glob("exshadow-bench-*")) == []
    cli.error(3, "bench", "--dir", tmp_path / "none")


def test_quiet_says_nothing_about_progress(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    assert cli("--quiet", "mirror", "add", "db", tmp_path / "m2.img").err == ""


def test_a_reader_that_leaves_is_no_error(cli, image):
    cli("volume", "add", "db", image("db.img"))
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [*COMMAND, "volume", "list"],
        env=cli.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert process.stderr == ""
    assert process.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["volume", "list"], ["--json", "volume", "show", "none"]])
def test_a_full_stdout_is_an_io_error(cli, words, unbuffered):
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*COMMAND, *words],
            env=cli.environment | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == (3 if "none" in words else 7)
    assert "Traceback" not in process.stderr
    assert "Exception ignored" not in process.stderr


def on_terminal(cli, answer, *arguments):
    """Run on a pseudo terminal and type `answer`: what it showed, and the exit status."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(COMMAND[0], [*COMMAND, *map(str, arguments)], cli.environment)
    os.write(terminal, answer)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_destructive_commands_ask_on_a_terminal(shop):
    remove = ("mirror", "remove", "db", "m2")
    shown, status = on_terminal(shop.cli, b"n\n", *remove)
    assert "Proceed?" in shown
    assert status == 130
    assert len(shop.cli.json("mirror", "list", "db")["plexes"]) == 2
    _, status = on_terminal(shop.cli, b"y\n", *remove)
    assert status == 0
    shown, status = on_terminal(shop.cli, b"", "mirror", "remove", "logs", "m2", "--yes")
    assert "Proceed?" not in shown
    assert status == 0


def test_a_terminal_gets_a_bar_with_rate_and_time_left(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img", 4 << 20))
    shown, status = on_terminal(
        cli, b"", "mirror", "add", "db", tmp_path / "m2.img", "--limit", "4M"
    )
    assert status == 0
    assert "/s" in shown
    assert "0:00:0" in shown


BUDGETS = [("--version", 0.150), ("--help", 0.300)]


@pytest.mark.parametrize(("option", "seconds"), BUDGETS)
def test_start_up_time(cli, option, seconds):
    script = Path(sys.executable).with_name("exshadow")
    command = [str(script)] if script.exists() else COMMAND
    best = min(timed([*command, option], cli.environment) for _ in range(7))
    assert best < seconds


def timed(command, environment):
    """Seconds of the processor: on a busy machine the clock also counts other programs' turns."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def test_import_of_the_package_is_lazy():
    code = (
        "import sys, exshadow; "
        "heavy = {'numpy', 'sqlalchemy', 'alembic', 'rich', 'pydantic', 'exshadow._core'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names():
    import exshadow

    for name in exshadow.__all__:
        assert getattr(exshadow, name) is not None
    assert set(dir(exshadow)) >= set(exshadow.__all__)
    with pytest.raises(AttributeError):
        _ = exshadow.nothing


def test_no_argument_holds_nul():
    # No shell can pass it: programs that call main can.
    from exshadow.cli.main import main

    for arguments in (["volume", "add", "x", "/x\0y"], ["volume", "show", "\0"]):
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        assert main(["--json", *arguments]) == 2
        assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
