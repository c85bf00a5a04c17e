"""Wrong commands, one table over the whole command line: the documented exit status, what to do in
a hint, one JSON document with --json, never a traceback and never words of a library."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from exshadow.catalog import database_errors
from exshadow.cli import output
from exshadow.cli.context import context
from exshadow.cli.help import EXIT_CODES
from exshadow.cli.main import main
from exshadow.errors import NoSpaceError
from exshadow.service.local import LocalService

MIB = 1 << 20
LIBRARY_WORDS = ("Traceback", "Unused Tokens", "codec", "keyword argument", "Errno", "<class")

# Status and command. ~ is a place: ~none is not there, ~dir an empty folder, ~empty a file without
# bytes, ~binary one that is no text, ~text one of something else, ~json of another program, ~cut a
# document cut short, ~toml a policy of the group shop, ~db the image of the volume db.
TABLE = """
3 volume show nix
3 volume show dd
2 volume show ../x
3 volume remove nix --yes
3 volume add new ~none
2 volume add new ~dir
2 volume add new ~empty
4 volume add db ~other
8 volume add new ~db
2 volume add b@d ~other
2 volume add new ~other --region 3
2 volume add new ~other --region x
3 mirror add nix ~new
3 mirror add db ~none/m.img
2 mirror add db ~dir
4 mirror add db ~other
2 mirror add db ~new --limit x
3 mirror sync nix
3 mirror sync db m9
3 mirror list nix
3 mirror remove db m9 --yes
3 mirror verify nix
3 mirror verify db --repair --from m9 --yes
3 snapshot create nix
3 snapshot create db
3 snapshot create shop --plex m9
2 snapshot create shop --label a/b
4 snapshot create shop --label noon
3 snapshot create shop --label x --writer scrip?command=true
2 snapshot create shop --label x --writer script?comand=true
2 snapshot create shop --label x --verify nix
3 snapshot show nix
3 snapshot show db@noon
3 snapshot show shop@non
3 snapshot show noo
3 snapshot diff nix
3 snapshot diff noon --since nix
3 snapshot verify nix
2 snapshot verify noon --check nix
3 snapshot verify noon --check script --script ~none
4 snapshot verify noon --check script --script ~text
3 snapshot mount nix ~dir
3 snapshot unmount nix
3 snapshot unmount noon
3 snapshot export nix ~dir
4 snapshot export noon ~text
3 snapshot export noon ~dir --since nix
3 snapshot import ~none --onto ~other --yes
3 snapshot import ~dir --onto ~other --yes
2 snapshot import ~text --onto ~other --yes
3 snapshot resync nix --yes
3 snapshot delete nix --yes
3 snapshot promote nix --yes
3 snapshot pin nix
2 snapshot pin noon --until tomorrow
2 snapshot pin noon --clear --until 1d
3 restore nix --yes
3 restore db@noon --yes
3 restore noon --volume nix --yes
2 restore noon --mode fast --yes
3 serve nix
2 serve --tcp 1.2.3.4:x
3 attach nix
3 attach db@nix
3 detach nix
3 drill nix
3 drill shop --set nix
3 drill shop --dir ~none/deeper
2 drill shop --dir ~text
2 drill shop --check nix
3 catalog import ~none --yes
2 catalog import ~dir --yes
2 catalog import ~empty --yes
2 catalog import ~binary --yes
2 catalog import ~text --yes
2 catalog import ~json --yes
2 catalog import ~cut --yes
3 catalog export ~none/deeper/c.json
2 catalog export ~dir
3 ese check ~none
3 ese check ~dir
5 ese check ~text
5 ese check ~binary
5 ese check ~empty
2 ese check
3 ese info ~none
2 ese info ~dir
5 ese info ~binary
5 ese info ~text
2 recovery exchange noon
2 recovery mailbox noon --server A
3 recovery mailbox nix --exchange 2010 --server A --database D --mailbox M --mount /m --work /w
2 recovery mailbox noon --exchange 1999 --server A --database D --mailbox M --mount /m --work /w
3 policy check ~none
2 policy check ~dir
2 policy check ~empty
2 policy check ~binary
2 policy check ~text
3 policy plan ~none
3 policy plan ~toml --group nix
3 policy run ~toml --group nix
3 policy run-due ~toml --group nix
3 policy status ~toml --group nix
3 policy simulate ~toml nix
2 policy simulate ~toml shop --days 0
2 policy simulate ~toml shop --every x
2 policy status ~dir
2 policy timers ~toml
3 provider choose ~none
2 provider choose ~dir
3 provider list --policy ~none
2 provider probe --policy ~text
3 report --html ~none/deeper/p.html
2 report --html ~dir
2 report
3 report --html ~new --policy ~none
2 report --html ~new --policy ~binary
3 vss backup nix
2 vss backup shop --writer script?comand=x
2 vss backup db --type full
2 vss backup db --type nix
3 vss backup db --base ~none
2 vss backup db --base ~binary
2 vss backup db --tries 0
3 vss restore ~none --exec true --yes
2 vss restore ~binary --exec true --yes
2 vss break nix --yes
2 vss revert nix --yes
3 vss import ~none
2 vss expose nix
3 vss writers --tool ~none
2 bench --size 17
3 bench --dir ~nowhere
2 completion tcsh
2 demo extra
2 doctor extra
2 help nix
2 nix
2 volume lst
2 volume list extra
2 volume add
"""
ROWS = [(int(line.split()[0]), line.split()[1:]) for line in TABLE.strip().splitlines()]


@dataclass(frozen=True)
class Bed:
    """A state folder with the group shop (db and logs, set noon), and files of many kinds."""

    folder: Path

    def words(self, words: list[str]) -> list[str]:
        """With ~place spelled out."""
        return [str(self.folder / word[1:]) if word.startswith("~") else word for word in words]

    def run(self, *words: str) -> tuple[int, str, str]:
        """One command in this process: status, stdout, stderr."""
        output._emitted = False
        context.events.clear()
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(["--state", str(self.folder / "state"), *self.words(list(words))])
        return status, out.getvalue(), err.getvalue()

    def tree(self) -> list[str]:
        """All names below the folder but the state's own."""
        return sorted(
            str(path)
            for path in self.folder.rglob("*")
            if self.folder / "state" not in path.parents
        )


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    folder = tmp_path_factory.mktemp("wrong")
    made = Bed(folder)
    (folder / "dir").mkdir()
    for name in ("db", "logs", "other"):
        (folder / name).write_bytes(os.urandom(MIB))
    files = {
        "empty": b"",
        "binary": bytes(range(128, 256)) * 64,
        "text": b"nothing in particular\n",
        "json": b'{"version": 3, "services": []}\n',
        "cut": b'{"catalog": {"format": 1, "vol',
        "toml": b'[group.shop]\nvolumes = ["db", "logs"]\nmirrors = ["m2", "m3"]\n',
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for name in ("db", "logs"):
        assert made.run("volume", "add", name, f"~{name}", "--group", "shop")[0] == 0
        assert made.run("mirror", "add", name, f"~{name}2", "--label", "m2")[0] == 0
    assert made.run("snapshot", "create", "shop", "--label", "noon")[0] == 0
    return made


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(context, "events", [])
    for name in ("EXSHADOW_VSS_TOOL", "EXSHADOW_VSS_LAUNCHER", "EXSHADOW_CATALOG"):
        monkeypatch.delenv(name, raising=False)
    yield
    output._emitted = False


@pytest.mark.parametrize(("status", "words"), ROWS, ids=[" ".join(words) for _, words in ROWS])
def test_a_wrong_command_says_what_was_found_and_what_to_do(bed, status, words):
    assert status in EXIT_CODES
    before = bed.tree()
    ended, out, err = bed.run(*words, "--json")
    assert ended == status, (ended, out, err)
    document = json.loads(out)
    assert out.count("\n") == 1
    error = document["error"]
    assert error["message"], document
    assert error["hint"], document
    shown = error["message"] + error["hint"] + err
    assert not any(word in shown for word in LIBRARY_WORDS), shown
    assert bed.tree() == before


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        ("volume add db a x", "unexpected argument 'x'", "see: exshadow volume add --help"),
        ("recovery exchange noon --server A --exchange 2010",
         "needs --database, --database-folder, --log-folder, --database-volume and --log-volume",
         "see: exshadow recovery exchange --help"),
        ("mirror add", "exshadow mirror add needs VOLUME and PATH", "exshadow mirror add --help"),
        ("volume add db a --group", "--group needs a value", "exshadow volume add --help"),
        ("report", "exshadow report needs --html", "exshadow report --help"),
        ("restore db@noon", "no snapshot set 'db@noon'",
         "volume db is in group shop, and sets are named by the group: shop@noon"),
        ("restore shop@non", "'shop@non'", "did you mean 'shop@noon'?"),
        ("restore noo", "'noo'", "did you mean 'noon'?"),
        ("restore shop", "'shop'", "shop is a group; its sets: shop@noon"),
        ("snapshot create shpo", "no group 'shpo'", "did you mean 'shop'? groups: shop"),
        ("volume show lgos", "no volume 'lgos'", "did you mean 'logs'? volumes: db, logs"),
        ("mirror sync db mm2", "no plex 'mm2'", "did you mean 'm2'?"),
        ("snapshot create shop --plex m9", "no plex 'm9'", "exshadow mirror list db"),
        ("policy simulate ~toml shpo", "has no group shpo", "did you mean 'shop'?"),
        ("vss backup db --writer script?comand=x", "writer script has no option 'comand'",
         "did you mean 'command'? it has: command, limit, timeout, path"),
        ("snapshot create shop --writer sqlite", "writer sqlite needs path", "sqlite?path=..."),
        ("snapshot create shop --writer mariadb?host=h&port=x", "port='x' is no port", "65535"),
        ("ese check ~text", "not an ESE file", "name databases, logs"),
        ("ese info ~text", "is not an ESE file", "name a database"),
        ("catalog import ~empty --yes", "is empty", "exshadow catalog export FILE"),
        ("catalog import ~binary --yes", "is no text", "exshadow catalog export FILE"),
        ("catalog import ~cut --yes", "no whole JSON document", "exshadow catalog export FILE"),
        ("catalog import ~json --yes", "json: this is no catalog document", "catalog export FILE"),
    ],
)  # fmt: skip
def test_people_read_what_is_wrong_and_where_to_look(bed, words, told, hint):
    _, out, err = bed.run(*words.split())
    first, *rest = err.splitlines()
    assert told in first
    assert hint in " ".join(rest)
    assert "DAMAGED" not in out + err


@pytest.mark.parametrize(
    "words",
    ["catalog import ~f --yes", "ese check ~f", "ese info ~f", "policy check ~f", "vss import ~f",
     "report --html ~d/p --policy ~f", "provider choose ~f", "volume add new ~f"],
)  # fmt: skip
def test_a_file_that_may_not_be_read_is_refused_with_the_way_out(words, tmp_path_factory):
    """Root may read everything: another account does it, in a place of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder, nobody = Path(place), 65534
        for name in ("f", "d/x"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"[group.x]\n")
        (folder / "f").chmod(0)
        os.chown(place, nobody, nobody)
        os.seteuid(nobody)
        try:
            status, out, _ = Bed(folder).run(*words.split(), "--json")
        finally:
            os.seteuid(0)
    error = json.loads(out)["error"]
    assert (status, error["code"]) == (4, "permission")
    assert "owner and mode" in error["hint"] or "chmod" in error["hint"]


def test_ctrl_c_is_told_wherever_it_comes(bed, monkeypatch):
    def interrupted(_self):
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalService, "list_volumes", interrupted)
    status, out, _ = bed.run("volume", "list", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (130, "cancelled")
    status, _, err = bed.run("volume", "list")
    assert status == 130
    assert "interrupted" in err
    assert "mirror sync VOLUME" in err
    status, _, err = bed.run("policy", "status", "~toml")
    assert (status, "mirror sync" in err) == (130, False)
    assert "a run goes on with what was begun" in err


def test_a_mirror_that_lags_behind_is_never_called_equal(bed):
    """Its disk was full, then it was lost: it is not compared, and so there is no verdict."""
    made = Bed(bed.folder / "lost")
    made.folder.mkdir()
    (made.folder / "a").write_bytes(os.urandom(8 * MIB))
    with (made.folder / "b").open("wb") as mirror:
        mirror.truncate(8 * MIB)
    assert made.run("volume", "add", "a", "~a")[0] == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6 * MIB, limits[1]))  # as a disk without room
    try:
        assert made.run("mirror", "add", "a", "~b", "--label", "m2")[0] == 7
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    status, _, err = made.run("mirror", "verify", "a")
    assert status == 4
    assert "nothing to compare: only plex p1" in err
    (made.folder / "b").rename(made.folder / "elsewhere")
    assert "mirror remove a m2" in made.run("mirror", "sync", "a", "m2")[2]
    (made.folder / "elsewhere").rename(made.folder / "b")
    assert made.run("mirror", "sync", "a")[0] == 0
    assert "plexes are equal" in made.run("mirror", "verify", "a")[1]
    shutil.rmtree(made.folder)


def test_a_full_disk_of_the_state_folder_is_named():
    full = sqlite3.OperationalError("disk I/O error")
    full.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"

    def refuse(*_):
        raise full

    with pytest.raises(NoSpaceError, match="is full"), database_errors.translated():
        refuse()


def test_a_backup_that_fails_leaves_no_folder_for_documents(bed):
    before = bed.tree()
    assert bed.run("vss", "backup", "nix", "--save", "~docs/of/today")[0] == 3
    assert bed.tree() == before
    (bed.folder / "kept").mkdir()
    assert bed.run("vss", "backup", "nix", "--save", "~kept")[0] == 3
    assert (bed.folder / "kept").is_dir()
    (bed.folder / "kept").rmdir()


def test_a_resync_says_that_the_set_is_gone(bed):
    assert bed.run("snapshot", "create", "shop", "--label", "later", "--plex", "m3")[0] == 3
    for name in ("db", "logs"):
        assert bed.run("mirror", "add", name, f"~{name}3", "--label", "m3")[0] == 0
    assert bed.run("snapshot", "create", "shop", "--label", "later", "--plex", "m3")[0] == 0
    _, out, _ = bed.run("snapshot", "resync", "later")
    assert "set shop@later is gone" in out
    assert bed.run("snapshot", "show", "shop@later")[0] == 3


def test_nothing_that_is_told_steers_a_terminal(cli, tmp_path):
    """A file's name as little as what a program said."""
    said = cli("policy", "check", tmp_path / "a\x1b[2J.toml", status=3)
    assert "\x1b" not in said.out + said.err
    assert "a\ufffd[2J.toml" in said.err
