"""Hooks, notification and what is measured round a run."""

import contextlib
import json
import os
import random
import threading
import time
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import MIB

from exshadow import wire
from exshadow.catalog import open_catalog
from exshadow.catalog.measures import add_measures
from exshadow.commands import CommandRunner, private_command, split_words
from exshadow.errors import (
    Error,
    InvalidError,
    NotFoundError,
    ProviderError,
    RefusedError,
    TimedOutError,
)
from exshadow.model import ChangedMember, Member, SetRecord, Verification
from exshadow.policy import notify
from exshadow.policy.hooks import check_hooks, run_hooks
from exshadow.policy.model import Group, Hook, NotifyPart, load
from exshadow.policy.notify import Message, tell
from exshadow.policy.standing import Recovery, Series, status_of, unusual
from exshadow.policy.usual import usual
from exshadow.providers.templates import load as load_book
from exshadow.providers.vss import build as build_vss
from exshadow.service.policy_run import around
from exshadow.service.policy_run.measuring import incompressible
from exshadow.service.policy_run.record import GroupRun


@pytest.fixture
def script(tmp_path):
    """Makes a program of the administrator's."""

    def make(text, mode=0o755):
        path = tmp_path / f"hook{len(list(tmp_path.iterdir()))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        return path

    return make


def hook(path, seconds=10.0):
    return Hook(command=str(path), timeout=timedelta_text(seconds))


def timedelta_text(seconds):
    return f"{int(seconds)}s"


def test_a_hook_gets_facts_as_json(script, tmp_path):
    run_hooks([hook(script(f"cat > {tmp_path}/got"))], "before", {"run": {"group": "g"}})
    assert json.loads((tmp_path / "got").read_text()) == {"event": "before", "run": {"group": "g"}}


def test_a_hook_that_fails_is_told_with_its_last_words(script):
    with pytest.raises(ProviderError, match=r"ended with 3: no tape in the drive") as caught:
        run_hooks([hook(script("echo no tape in the drive; exit 3"))], "before", {})
    assert caught.value.exit_status == 6


@pytest.mark.parametrize("first", ["#!/nowhere/sh\n", "exit 0\n"])
def test_a_hook_without_an_interpreter_is_told_as_such(tmp_path, first):
    path = tmp_path / "hook"
    path.write_text(first)
    path.chmod(0o700)
    with pytest.raises(Error) as raised:
        run_hooks([hook(path)], "before", {})
    assert "first line" in raised.value.hint


def test_a_hook_without_a_place_for_temporary_files_is_told_as_such(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(Error, match="in a temporary file: No such file or directory"):
        run_hooks([hook("/bin/true")], "before", {})


def test_what_a_hook_says_steers_no_terminal(script):
    with pytest.raises(ProviderError) as raised:
        run_hooks([hook(script("printf '\\033[2J\\000bye'; kill -9 $$"))], "before", {})
    assert "was killed by signal 9" in raised.value.message
    assert raised.value.message.endswith("\ufffd[2J\ufffdbye")
    assert raised.value.hint


def test_a_hook_past_its_limit_is_ended_with_its_children(script, tmp_path):
    late = script(f"(sleep 3; touch {tmp_path}/late) & sleep 60")
    with pytest.raises(TimedOutError, match="not done after 1 s"):
        run_hooks([hook(late, 1)], "before", {})
    threading.Event().wait(3)
    assert not (tmp_path / "late").exists()


def test_a_hook_that_never_reads_its_facts_is_ended_at_its_limit(script):
    begun = time.monotonic()
    with pytest.raises(TimedOutError, match="not done after 1 s"):
        run_hooks([hook(script("sleep 20"), 1)], "before", {"text": "x" * MIB})
    assert time.monotonic() - begun < 10


def test_a_hook_that_writes_without_end_does_not_fill_the_disk(script):
    """It waits until what it wrote was cut; if nobody did, its time would be over."""
    blocks = "$(stat -L -c %b /proc/$$/fd/1)"  # of 512 bytes
    cut = f"head -c 20M /dev/zero; until [ {blocks} -lt 20000 ]; do sleep 0.01; done"
    with pytest.raises(ProviderError, match=r"ended with 3: \ufffd*last words$"):
        run_hooks([hook(script(f"{cut}; {cut}; echo last words; exit 3"), 30)], "before", {})


def test_no_word_is_lost_while_what_a_hook_wrote_before_is_cut(script):
    """It says a line after every kilobyte, over many looks: the last must be told, all of them."""
    lines = "import sys\nfor n in range(200_000):\n    sys.stdout.write('%01023d\\n' % n)"
    code = script(f'python3 -c "{lines}"; exit 3')
    with pytest.raises(ProviderError) as raised:
        run_hooks([hook(code, 60)], "before", {})
    told = raised.value.message.split()
    assert int(told[-1]) == 199_999
    assert len(told[-1]) == 1023


def test_a_product_that_writes_without_end_takes_no_memory_without_end(script):
    endless = script("exec yes abc")
    runner = CommandRunner(programs={"vxassist": str(endless)})
    tracemalloc.start()
    try:
        with pytest.raises(TimedOutError, match="vxassist list was not done after 1 s"):
            runner.run("vxassist", ["list"], 1.0)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()
    assert runner.log[-1].output.endswith(("abc\n", "abc", "ab", "a"))
    much = script("head -c 20M /dev/zero | tr '\\0' x; echo; echo the end; exit 3")
    ran = CommandRunner(programs={"vxdg": str(much)}).run("vxdg", [], 20)
    assert (ran.status, ran.output[-8:]) == (3, "the end\n")


def test_a_child_left_behind_is_not_waited_for(script):
    run_hooks([hook(script("sleep 20 & exit 0"), 5)], "before", {})


def test_a_hook_that_others_could_change_is_refused(script, tmp_path):
    with pytest.raises(RefusedError, match="changed by anybody"):
        check_hooks([hook(script("true", 0o777))])
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    inside = folder / "hook"
    inside.write_text("#!/bin/sh\n")
    inside.chmod(0o755)
    with pytest.raises(RefusedError, match="open may be changed"):
        check_hooks([hook(inside)])
    with pytest.raises(NotFoundError):
        check_hooks([hook(tmp_path / "none")])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_what_a_group_of_others_may_change_is_refused(script):
    path = script("true", 0o775)
    check_hooks([hook(path)])  # root's own group
    os.chown(path, 0, 12345)
    with pytest.raises(RefusedError, match="changed by its group 12345"):
        check_hooks([hook(path)])
    path.chmod(0o755)
    check_hooks([hook(path)])


def test_our_own_private_group_may_write_and_one_with_others_may_not(script, monkeypatch):
    class Mine:
        gr_mem: ClassVar = []
        gr_name = "me"
        pw_name, pw_gid = "me", 4711

    path = script("true", 0o775)
    real = Path.stat

    def stat_of(place, **words):
        facts = list(real(place, **words))
        if place == path:
            facts[5] = 4711
        return os.stat_result(facts)

    monkeypatch.setattr(Path, "stat", stat_of)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: Mine)
    monkeypatch.setattr("grp.getgrgid", lambda gid: Mine)
    assert private_command(str(path)) == [str(path)]
    Mine.gr_mem = ["me", "you"]
    with pytest.raises(RefusedError, match="by its group 4711"):
        private_command(str(path))


def test_a_script_that_an_interpreter_is_given_is_looked_at_as_well(script, tmp_path):
    path = script("true", 0o777)
    with pytest.raises(RefusedError, match="changed by anybody"):
        check_hooks([Hook(command=f"sh {path}")])
    path.chmod(0o755)
    check_hooks([Hook(command=f"sh {path} --mode=777 plain /dev/null {tmp_path}")])
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "link").symlink_to(path)
    with pytest.raises(RefusedError, match="open may be changed"):
        check_hooks([Hook(command=f"sh {folder / 'link'}")])


def test_a_program_that_settings_name_is_looked_at_before_it_runs(script):
    path = script("true", 0o777)
    runner = CommandRunner({"vxsnap": f"{path} -q"})
    assert runner.find("vxsnap") == [str(path), "-q"]
    with pytest.raises(RefusedError, match="changed by anybody"):
        runner.run("vxsnap", [], 5)
    path.chmod(0o755)
    assert runner.run("vxsnap", [], 5).status == 0


def test_a_file_of_commands_that_others_may_change_is_refused(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("")
    load_book("eva", "6", path)
    path.chmod(0o666)
    with pytest.raises(RefusedError, match="changed by anybody"):
        load_book("eva", "6", path)


def test_the_tool_of_vss_and_what_runs_it_are_looked_at(script):
    tool, launcher = script("true"), script("true")
    settings = {"tool": str(tool), "launcher": str(launcher)}
    for place in (tool, launcher):
        build_vss(settings)
        place.chmod(0o777)
        with pytest.raises(RefusedError, match=f"{place.name} may be changed by anybody"):
            build_vss(settings)
        place.chmod(0o755)


def test_on_windows_backslashes_are_paths_and_double_quotes_quote(monkeypatch):
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.setattr("shutil.which", lambda program: program)
    named = r'"C:\Program Files\Veritas\vxsnap.exe" -q'
    words = [r"C:\Program Files\Veritas\vxsnap.exe", "-q"]
    assert CommandRunner({"vxsnap": named}).find("vxsnap") == words
    assert private_command(r"C:\hooks\a.bat it's 'x'") == [r"C:\hooks\a.bat", "it's", "'x'"]
    assert private_command(r'\\server\share\a.bat "a b"')[1:] == ["a b"]
    with pytest.raises(InvalidError, match="no full path"):
        private_command("a.bat")
    with pytest.raises(InvalidError, match="quotation"):
        private_command('"C:\\a.bat')


def test_elsewhere_a_command_is_split_as_a_shell_does():
    assert split_words(r"a 'b c' d\ e # f") == ["a", "b c", "d e", "#", "f"]


@pytest.fixture
def web():
    """A web server that keeps what it was asked."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append((self.path, b""))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_those_who_asked_hear_of_it_and_the_dead_man_switch_is_pinged(web):
    port, heard = web
    part = NotifyPart(
        urls=(f"json://127.0.0.1:{port}/told",),
        on=frozenset({"failure"}),
        ping=f"http://127.0.0.1:{port}/ping",
    )
    assert tell(part, Message("success", "t", "x")) == []
    assert [path for path, _ in heard] == ["/ping"]
    assert tell(part, Message("failure", "exshadow: g failed", "no mirror")) == []
    assert [path.rstrip("/") for path, _ in heard] == ["/ping", "/told"]
    assert json.loads(heard[1][1])["message"] == "no mirror"


def test_what_cannot_be_told_is_said_without_its_secret(web):
    port, _ = web
    part = NotifyPart(
        urls=("nonsense://secret@x", "json://user:secret@127.0.0.1:1/"),
        on=frozenset({"failure"}),
        ping=f"http://user:secret@127.0.0.1:{port}/broken",
    )
    said = tell(part, Message("failure", "t", "x")) + tell(part, Message("success", "t", "x"))
    assert len(said) == 3
    assert "secret" not in " ".join(said)


def test_a_server_that_never_comes_to_an_end_holds_no_run(monkeypatch):
    """Limits of the clients are for one step each: a byte now and then would satisfy them."""
    monkeypatch.setattr(notify, "_PING_SECONDS", 0.4)
    monkeypatch.setattr(notify, "_SEND_SECONDS", 0.4)
    over = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.05):
                with contextlib.suppress(OSError):
                    self.wfile.write(b"X-More: 1\r\n")

        def do_POST(self):
            self.do_GET()

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever).start()
        here = f"127.0.0.1:{server.server_port}"
        part = NotifyPart(urls=(f"json://{here}/",), on={"success"}, ping=f"http://{here}/")
        begun = time.monotonic()
        problems = tell(part, Message("success", "t", "x"))
        assert time.monotonic() - begun < 5
        over.set()
        server.shutdown()
    assert problems == [
        "notification by json: no answer within 0.4 s",
        f"ping of {here}: no answer within 0.4 s",
    ]


def test_what_a_server_answered_to_a_ping_is_told_and_its_body_not_read():
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response({"/404": 404, "/loop": 302, "/to": 302}.get(self.path, 200))
            self.send_header("Location", {"/to": "/much"}.get(self.path, "/loop"))
            self.end_headers()
            with contextlib.suppress(OSError):
                while self.path == "/much":
                    self.wfile.write(bytes(MIB))

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        here = f"127.0.0.1:{server.server_port}"
        said = {
            path: tell(NotifyPart(ping=f"http://{here}/{path}"), Message("success", "t", "x"))
            for path in ("404", "loop", "to", "much")
        }
        server.shutdown()
    assert said == {
        "404": [f"ping of {here}: it answered 404"],
        "loop": [f"ping of {here}: it leads from one address to another without end"],
        "to": [],
        "much": [],
    }


def test_a_value_is_unusual_only_beside_enough_others():
    assert usual([1, 2, 3, 4], slack=0) is None
    assert unusual(Series("changed_bytes", (1e9, 1.1e9, 0.9e9, 1e9, 1.05e9, 9e9)))
    assert not unusual(Series("changed_bytes", (1e9, 1.1e9, 0.9e9, 1e9, 1.05e9, 1.2e9)))
    told = unusual(Series("incompressible", (0.1, 0.12, 0.1, 0.09, 0.11, 0.97)))
    assert "97% of what changed does not compress" in told
    assert unusual(Series("incompressible", (0.97,) * 9)) == ""


def test_one_outlier_of_the_past_hides_nothing():
    values = (1e9, 1e9, 1e9, 90e9, 1e9, 1e9, 1e9, 90e9)
    assert unusual(Series("changed_bytes", values))


def test_share_of_what_does_not_compress(tmp_path):
    image = tmp_path / "db.img"
    image.write_bytes(b"mail " * (MIB // 5 + 1) + random.Random(1).randbytes(MIB))
    member = Member("db", "m1", str(image), image.stat().st_size)
    text = ChangedMember("db", 65536, ((0, MIB),))
    noise = ChangedMember("db", 65536, ((MIB + 65536, MIB - 131072),))
    assert incompressible([member], [text], seed="a") == 0
    assert incompressible([member], [noise], seed="a") == 1
    both = ChangedMember("db", 65536, (*text.changed, *noise.changed))
    assert 0.3 < incompressible([member], [both], seed="a") < 0.7
    assert incompressible([member], [ChangedMember("db", 65536, ())], seed="a") is None


POLICY = """
[group.db]
volumes = ["db"]
mirrors = ["m1", "m2"]
objective = "1m"
verify = ["bytes"]
keep.last = 1
schedule = "* * * * *"
[group.db.provider.options]
mirror-path = "{folder}/{{volume}}-{{mirror}}.img"
[group.db.hooks]
before = [{{ command = "{before}" }}]
after = [{{ command = "{after}" }}]
on-error = [{{ command = "{wrong}" }}]
hand-over = [{{ command = "{hand}" }}]
"""


@pytest.fixture
def policy(cli, tmp_path, script):
    image = tmp_path / "db.img"
    image.write_bytes(random.Random(3).randbytes(4 * MIB))
    cli("volume", "add", "db", image)
    calls = {
        name: script(f"cat > {tmp_path}/{name}.json; {end}")
        for name, end in (("before", "exit ${FAIL:-0}"), ("after", ""), ("wrong", ""), ("hand", ""))
    }
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(folder=tmp_path, **calls))
    return path


def heard(tmp_path, name):
    return json.loads((tmp_path / f"{name}.json").read_text())


def test_a_run_tells_its_hooks_and_hands_the_set_over(cli, policy, tmp_path):
    (run,) = cli.json("policy", "run", policy)["groups"]
    assert heard(tmp_path, "before")["event"] == "before"
    hand = heard(tmp_path, "hand")
    (member,) = hand["members"]
    assert (tmp_path / "db.img").read_bytes() == Path(member["path"]).read_bytes()
    assert hand["set"]["id"] == run["set"]["id"]
    assert heard(tmp_path, "after")["run"]["set"]["id"] == run["set"]["id"]
    assert not (tmp_path / "wrong.json").exists()


def test_a_hook_that_says_no_keeps_the_run_from_starting(cli, policy, tmp_path):
    cli.environment["FAIL"] = "1"
    assert "ended with 1" in cli.error(6, "policy", "run", policy)["message"]
    assert cli.json("snapshot", "list")["sets"] == []
    assert heard(tmp_path, "wrong")["run"]["error"]["code"] == "provider_failed"


def test_a_hook_that_fails_after_a_run_keeps_no_other_from_its_work(cli, policy, tmp_path):
    (line,) = [one for one in policy.read_text().splitlines() if one.startswith("on-error")]
    first = line.replace("[{", '[{ command = "/bin/false" }, {')
    policy.write_text(policy.read_text().replace(line, first))
    cli.environment["FAIL"] = "1"
    cli.error(6, "policy", "run", policy)
    assert "/bin/false" in heard(tmp_path, "wrong")["run"]["warnings"][0]


def test_a_run_that_cannot_even_begin_tells_its_on_error_hook(cli, policy, tmp_path):
    policy.write_text(policy.read_text().replace('volumes = ["db"]', 'volumes = ["nowhere"]'))
    run = cli.json("policy", "run", policy, status=2)["groups"][0]
    assert heard(tmp_path, "wrong")["run"]["error"] == run["error"]
    assert not (tmp_path / "before.json").exists()


def test_a_catalog_that_is_away_is_told_to_those_who_are_to_hear(cli, policy, tmp_path):
    """Without it no group's run begins, which could tell; by a timer nobody reads the screen."""
    cli.environment["EXSHADOW_CATALOG"] = "postgresql+psycopg://nobody@127.0.0.1:1/x"
    error = cli.error(7, "policy", "run-due", policy)
    told = heard(tmp_path, "wrong")["run"]
    assert (told["group"], told["error"]) == ("db", error)
    for words in (("run", policy), ("run-due", policy, "--group", "db")):
        (tmp_path / "wrong.json").unlink()
        cli.error(7, "policy", *words)
        assert heard(tmp_path, "wrong")["run"]["group"] == "db"
    (tmp_path / "wrong.json").unlink()
    cli.error(7, "policy", "run", policy, "--dry-run")
    policy.write_text(policy.read_text().replace("* * * * *", "0 0 1 1 *"))
    cli.error(7, "policy", "run-due", policy)  # not its turn
    assert not (tmp_path / "wrong.json").exists()


def test_only_what_is_due_runs(cli, policy):
    assert len(cli.json("policy", "run-due", policy)["groups"]) == 1
    text = policy.read_text()
    policy.write_text(text.replace("* * * * *", "0 0 1 1 *"))
    assert cli.json("policy", "run-due", policy)["groups"] == []
    assert "nothing is due" in cli("policy", "run-due", policy).out


def test_status_judges_recovery_against_the_objective(cli, policy, tmp_path):
    cli("policy", "run", policy)
    (group,) = cli.json("policy", "status", policy)["groups"]
    assert (group["state"], group["recovery"], group["objective"]) == ("ok", 0.0, 60.0)
    assert "bytes ok" in cli("policy", "status", policy).out
    group = load(policy).group["db"]
    one = wire.set_(cli.json("snapshot", "list")["sets"][0])
    found = status_of("db", group, [one], now=datetime.now(UTC), recovery=Recovery(61, "measured"))
    assert found.state == "slow"
    assert found.notes == ("recovery would take 61 s, the objective is 60 s",)
    unknown = status_of("db", group, [one], now=datetime.now(UTC), recovery=Recovery(None, "none"))
    assert (unknown.state, unknown.notes) == ("ok", ("the objective cannot be judged: none",))


def test_status_warns_when_a_set_is_unusual(cli, policy, state):
    (run,) = cli.json("policy", "run", policy)["groups"]
    with closing(open_catalog(state / "catalog.sqlite").catalog) as catalog:
        for value in (1e9, 1e9, 1e9, 1e9, 1e9, 8e9):
            add_measures(catalog, "db", run["set"]["id"], {"changed_bytes": value})
    assert "unusual: 7.5 GiB changed" in cli("policy", "status", policy).out
    said = cli("policy", "status", policy, "--nagios", status=1).out
    assert said.startswith("EXSHADOW WARNING - db ok: 7.5 GiB changed")


def test_a_second_set_is_measured(cli, policy, tmp_path):
    cli("policy", "run", policy)
    with cli_volume(cli) as volume:
        volume.write(0, bytes(2 * MIB))
    cli("policy", "run", policy)
    exported = cli.json("catalog", "export")["catalog"]["measures"]
    found = {row["name"]: row["value"] for row in exported}
    assert found == {"changed_bytes": 2.0 * MIB, "incompressible": 0.0}


def cli_volume(cli):
    return cli.opened("db")


def test_durations_are_read_from_the_policy():
    assert Hook(command="x", timeout="90s").timeout == timedelta(seconds=90)


@pytest.mark.parametrize(("checks", "said"), [((), "not checked"), (("bytes",), "checks are good")])
def test_nobody_is_told_of_checks_that_were_not_made(checks, said, monkeypatch):
    heard = []
    monkeypatch.setattr(around, "tell", lambda part, message: heard.append(message.text) or [])
    verdicts = tuple(Verification(one, True, "2026-01-01T00:00:00Z", "") for one in checks)
    made = SetRecord("i", "noon", "g", "2026-01-01T00:00:00Z", "native", "crash", "ready", (),
                     checks=verdicts)  # fmt: skip
    around.tell_end(Group(volumes=("db",)), GroupRun("g", "native", "r", made=made), print)
    assert said in heard[0]
