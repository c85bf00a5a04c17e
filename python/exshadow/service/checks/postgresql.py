"""Check `postgresql`: a throw-away server on the view. It must recover as after a crash; then
pg_amcheck looks at every table and B-tree, and pg_checksums at every page where they are kept.

The server is Debian's of the version that the copy names, run as the user postgres, its own
settings in place of the copy's, cut off from everything but the check's place (cluster.py).
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from exshadow.errors import UnsupportedError
from exshadow.model import Json
from exshadow.service.checks import folders, programs
from exshadow.service.checks.bench import Bench, open_bench
from exshadow.service.checks.cluster import Cluster, find, prepare
from exshadow.service.checks.evidence import clipped
from exshadow.service.checks.ground import Ground, Outcome, Unsound
from exshadow.service.checks.programs import Account, Ran

_PROGRAMS = Path("/usr/lib/postgresql")
_SETTINGS = {
    "archive_mode": "off",
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing else can be written
    "fsync": "off",  # of a view that is thrown away
    "full_page_writes": "off",
    "jit": "off",
    "listen_addresses": "",
    "local_preload_libraries": "",
    "log_destination": "stderr",
    "logging_collector": "off",
    "max_connections": "10",
    "max_prepared_transactions": "200",
    "max_wal_senders": "0",
    "session_preload_libraries": "",
    "shared_buffers": "32MB",
    "shared_preload_libraries": "",
    "ssl": "off",
    "unix_socket_permissions": "0700",
    "wal_level": "minimal",
}
_STOP_SECONDS = 120.0
# Everything outside the place is read-only for the server: recovery makes tablespaces again where
# they were, and that is where production has them. There the server finds the copy's instead:
# pairs of a path and a folder of the copy stand before the command.
_CONFINED = """
place=$1; shift
mount --rbind "$place" "$place" || exit 125
cut -d ' ' -f 5 /proc/self/mountinfo | while read -r point; do
    point=$(printf '%b' "$point")
    case "$point" in
        "$place" | "$place"/*) ;;
        *) mount -o remount,bind,ro "$point" 2>/dev/null || umount --lazy "$point" || exit 125 ;;
    esac
done || exit 125
while [ "$1" != -- ]; do
    named=$1 taken=$2; shift 2
    above=$named
    while [ ! -d "$above" ]; do above=$(dirname "$above"); done
    if [ "$above" != "$named" ]; then
        case "$above" in
            / | /bin* | /dev* | /etc* | /lib* | /proc* | /run* | /sys* | /usr*) continue ;;
        esac
        mount -t tmpfs tmpfs "$above" && mkdir -p "$named" || exit 125
    fi
    mount --bind "$taken" "$named" || exit 125
done
shift
exec "$@"
"""
_NO_LOGIN = re.compile(r'role "postgres" (does not exist|is not permitted to log in)')
_NO_DIRECTORY = re.compile(r'directory "(.*)" does not exist')


def check(ground: Ground) -> Outcome:
    """A copy in which no data folder is found is not proven: it fails."""
    account = _account()
    with open_bench(ground) as bench:
        found = bench.mount_all()
        clusters = find(bench, folders.chosen(bench, found))
        if not clusters:
            return Outcome(False, "no data folder of PostgreSQL was found")
        seen, unable = _look_at_all(bench, clusters, account)
    bad = [one for one in seen if not one["ok"]]
    if unable is not None and not bad:
        raise unable
    detail = "; ".join(f"{one['cluster']}: {one['verdict']}" for one in bad or seen)
    return Outcome(not bad, detail, {"clusters": seen})


def _look_at_all(
    bench: Bench, clusters: Sequence[Cluster], account: Account
) -> tuple[list[Json], UnsupportedError | None]:
    """What was seen of each, and why one could not be looked at here, of the first such."""
    seen: list[Json] = []
    unable: UnsupportedError | None = None
    for cluster in clusters:
        try:
            seen.append(_look(bench, cluster, account))
        except UnsupportedError as problem:
            unable = unable or problem
    return seen, unable


def _account() -> Account:
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise UnsupportedError(
            "there is no user postgres to run a server as", hint="apt-get install postgresql"
        ) from None
    return Account(user.pw_uid, user.pw_gid)


def _programs_of(cluster: Cluster) -> Path:
    folder = _PROGRAMS / cluster.version / "bin"
    for tool, package in (("postgres", "postgresql"), ("pg_amcheck", "postgresql-client")):
        if not (folder / tool).exists():
            raise UnsupportedError(
                f"{tool} of PostgreSQL {cluster.version} is not installed",
                hint=f"apt-get install {package}-{cluster.version}",
            )
    return folder


def _look(bench: Bench, cluster: Cluster, account: Account) -> Json:
    programs_ = _programs_of(cluster)
    summed = False
    seen: Json = {"cluster": cluster.name, "version": cluster.version, "ok": False, "steps": []}
    try:
        links = prepare(bench, cluster, account)
        seen["links"] = [link.to_json() for link in links]
        spaces = [word for link in links if link.space for word in (link.named, str(link.taken))]
        server = _Server(bench, cluster, Setting(programs_, account, tuple(spaces)))
        with server.running():
            bench.ground.say(f"PostgreSQL {cluster.version} recovers {cluster.name}")
            seen["recovery"] = server.wait_until_recovered()
            known = server.is_superuser()
            if known:
                verdict, summed = _look_into(server, seen)
            server.stop()
        if not known:  # a server that was made with another superuser than postgres
            server.make_superuser()
            with server.running():
                server.wait_until_recovered()
                verdict, summed = _look_into(server, seen)
                server.stop()
        if not verdict and summed:
            bench.ground.say(f"pg_checksums of {cluster.name}")
            verdict = _checksums(server, seen)
    except Unsound as unsound:
        verdict = str(unsound)
        seen |= unsound.outcome.evidence
    also = "recovered, pg_amcheck found nothing"
    also += ", checksums right" if summed else "; it keeps no checksums"
    seen["ok"], seen["verdict"] = not verdict, verdict or also
    return seen


def _look_into(server: _Server, seen: Json) -> tuple[str, bool]:
    """What pg_amcheck found, and whether the server keeps checksums."""
    server.say("pg_amcheck of")
    return _amcheck(server, seen), _keeps_checksums(server)


def _keeps_checksums(server: _Server) -> bool:
    """Unsound when the server does not say: then nobody knows whether its pages were proved."""
    said = server.ask("show data_checksums")
    if said not in ("on", "off"):
        raise Unsound("the server does not say whether it keeps checksums")
    return said == "on"


def _amcheck(server: _Server, seen: Json) -> str:
    options = ("--all", "--install-missing", "--heapallindexed", "--jobs=2")
    ran = server.client("pg_amcheck", *options)
    seen["steps"].append(ran.to_json())
    if ran.status == 0:
        return ""
    return f"pg_amcheck found damage: {_first_line(ran)}"


def _checksums(server: _Server, seen: Json) -> str:
    ran = server.checksums()
    seen["steps"].append({**ran.to_json(), "command": "pg_checksums --check"})
    return "" if ran.status == 0 else f"pg_checksums found damage: {_first_line(ran)}"


def _first_line(ran: Ran) -> str:
    return next((line for line in ran.output.splitlines() if line.strip()), f"status {ran.status}")


@dataclass(frozen=True, slots=True)
class Setting:
    """Its programs, whom it runs as, and its tablespaces: production's path, then the copy's."""

    tools: Path
    account: Account
    spaces: tuple[str, ...]


class _Server:
    """A server on one data folder; its socket and log are in a folder of its own."""

    def __init__(self, bench: Bench, cluster: Cluster, setting: Setting) -> None:
        self.cluster = cluster
        self._bench = bench
        self._tools = setting.tools
        self._account = setting.account
        self._spaces = setting.spaces
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = bench.place / f"server-{cluster.number}"
        self._user = "postgres"

    def say(self, doing: str) -> None:
        self._bench.ground.say(f"{doing} {self.cluster.name}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Started when the block is entered, and gone after it however it is left."""
        self._make_folder()
        command = ("postgres", "-D", str(self.cluster.folder), *self._settings())
        with (self._folder / "log").open("ab") as log:
            self._process = programs.start(self._confined(*command), stdout=log)
        try:
            self._bench.record.note_process(self._process.pid)
            yield
        finally:
            self._quit()

    def _confined(self, name: str, *arguments: str) -> list[str]:
        """The command of a program that sees only the copies as they are to be seen."""
        drop = (f"--reuid={self._account.user}", f"--regid={self._account.group}")
        return [
            *(programs.require("unshare"), "--mount", "--propagation", "private", "--"),
            *("/bin/sh", "-c", _CONFINED, "sh", str(self._bench.place), *self._spaces, "--"),
            *(programs.require("setpriv"), *drop, "--clear-groups", "--"),
            *(str(self._tools / name), *arguments),
        ]

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / "hba").write_text("local all all trust\n")
        for name in ("conf", "ident"):
            (self._folder / name).touch()
        for path in (self._folder, *self._folder.iterdir()):
            shutil.chown(path, self._account.user, self._account.group)

    def _settings(self) -> list[str]:
        place = {
            "config_file": str(self._folder / "conf"),
            "hba_file": str(self._folder / "hba"),
            "ident_file": str(self._folder / "ident"),
            "unix_socket_directories": str(self._folder),
        }
        return [word for name, value in (_SETTINGS | place).items()
                for word in ("-c", f"{name}={value}")]  # fmt: skip

    def wait_until_recovered(self) -> list[str]:
        """What the log says of recovery. Unsound when the server ends instead."""
        assert self._process is not None
        while not self._recovered():
            if self._process.poll() is not None:
                said = self._log()
                last = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line]
                why = last[-1] if last else f"status {self._process.returncode}"
                self._refuse_unknown_path(why)
                raise Unsound(f"the server does not start: {why}", {"log": clipped(said)})
            self._bench.ground.tick()
            time.sleep(0.2)
        words = ("redo", "recover", "interrupted", "shut down", "consistent")
        return [line for line in self._log().splitlines() if any(one in line for one in words)]

    def _recovered(self) -> bool:
        """It says so, or knows its roles already, of which `postgres` is none."""
        ran = self._query("select pg_is_in_recovery()")
        return ran.output == "f" if ran.status == 0 else bool(_NO_LOGIN.search(ran.output))

    def is_superuser(self) -> bool:
        """Whether all can be looked at as whom this asks."""
        return self.ask("show is_superuser") == "on"

    def make_superuser(self) -> None:
        """One of the check's own, on the view, by the server alone: that asks nobody's name. The
        server must have been stopped. UnsupportedError when it makes none."""
        self._user = f"exshadow_{uuid4().hex[:12]}"
        command = ("--single", "-D", str(self.cluster.folder), *self._settings(), "template1")
        words = f"CREATE ROLE {self._user} SUPERUSER LOGIN\n".encode()
        ran = programs.run(self._bench.ground, self._confined("postgres", *command), stdin=words)
        if ran.status != 0 or "ERROR" in ran.output:
            raise UnsupportedError(
                f"{self.cluster.name} has no superuser 'postgres', and none could be made on the "
                f"view: {_first_line(ran)}",
                hint="check it with a script: --check script",
            )

    def _refuse_unknown_path(self, why: str) -> None:
        """UnsupportedError when recovery wants a tablespace's path that cannot be made here."""
        found = _NO_DIRECTORY.search(why)
        if found and found[1] in self._spaces:
            raise UnsupportedError(
                f"recovery makes a tablespace at {found[1]}, and there is no such folder here",
                hint=f"mkdir -p {found[1]}, or check a snapshot of after the next checkpoint",
            )

    def _log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="backslashreplace")

    def ask(self, query: str) -> str:
        """One value, empty when nobody answers."""
        ran = self._query(query)
        return ran.output if ran.status == 0 else ""

    def _query(self, query: str) -> Ran:
        return self.client("psql", "-XAtqc", query, "template1")

    def client(self, name: str, *arguments: str) -> Ran:
        return self.tool(name, "--host", self._folder, f"--username={self._user}", *arguments)

    def checksums(self) -> Ran:
        """Of all pages, tablespaces too; the server must have been stopped."""
        arguments = ("--check", f"--pgdata={self.cluster.folder}")
        return programs.run(self._bench.ground, self._confined("pg_checksums", *arguments))

    def tool(self, name: str, *arguments: str | Path) -> Ran:
        command = (self._tools / name, *arguments)
        return programs.run(self._bench.ground, command, account=self._account)

    def stop(self) -> None:
        """A clean shutdown, as pg_checksums asks for."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._process.poll() is None:
            self._bench.ground.tick()
            if time.monotonic() > deadline:
                raise Unsound("the server does not stop", {"log": clipped(self._log())})
            time.sleep(0.05)

    def _quit(self) -> None:
        """Without a shutdown: the view is thrown away. SIGQUIT ends the children as well."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        programs.kill(self._process)
