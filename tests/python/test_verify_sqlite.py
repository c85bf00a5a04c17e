"""snapshot verify --check sqlite: databases under writes pass, damaged ones do not."""

import os
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from checked import make_file_system, need_devices, put_live, split_off
from machine import run

from exshadow.service.checks import sqlite as check
from exshadow.service.desk import StopRequested


@pytest.fixture(autouse=True)
def _devices():
    need_devices()


def writes(place, mode):
    """A database copied in the middle of a transaction; the connections, to be closed."""
    database = sqlite3.connect(place / "shop.db", isolation_level=None)
    database.execute(f"PRAGMA journal_mode={mode}")
    database.execute("PRAGMA cache_size=4")
    database.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY, text TEXT)")
    database.execute("CREATE TABLE lines(of INTEGER REFERENCES orders(id), text TEXT)")
    for number in range(200):
        database.execute("INSERT INTO orders VALUES(?, ?)", (number, "x" * 500))
        database.execute("INSERT INTO lines VALUES(?, ?)", (number, "y" * 500))
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE orders SET text = text || 'not committed'")
    return database


@pytest.fixture(params=["delete", "wal"])
def live(request, tmp_path, cli):
    """A set of a volume on which a transaction was under way."""
    image = make_file_system("ext4", tmp_path / "db.img")
    kept = []

    def fill(place):
        import shutil

        from machine import run

        kept.append(writes(place, request.param))
        run("sync", "--file-system", place)
        shutil.copyfile(image, tmp_path / "db.in-use")
        kept[0].close()

    put_live(image, tmp_path / "made", fill)
    (tmp_path / "db.in-use").replace(image)
    return request.param


def test_a_database_under_writes_passes(live, cli, tmp_path):
    verdict = split_off(cli, tmp_path, "db").verify("--check", "sqlite")
    (database,) = verdict["evidence"]["databases"]
    assert database["database"] == "db/shop.db"
    assert database["left"] == ["-journal" if live == "delete" else "-wal"]
    assert database["tables"] == 2


def fill_with(*names, damage=None, orphan=False):
    def fill(place):
        for name in names:
            (place / name).parent.mkdir(exist_ok=True, parents=True)
            with closing(sqlite3.connect(place / name)) as database, database:
                database.execute("CREATE TABLE t(a PRIMARY KEY, b)")
                database.execute("CREATE TABLE u(a REFERENCES t(a))")
                for number in range(2000):
                    database.execute("INSERT INTO t VALUES(?, ?)", (number, "z" * 100))
                if orphan:
                    database.execute("INSERT INTO u VALUES(99999)")
        if damage:
            with (place / damage).open("r+b") as file:
                file.seek(40_000)
                file.write(b"damage" * 2000)
        (place / "text").write_text("SQLite is mentioned here")

    return fill


@pytest.fixture
def made(cli, tmp_path):
    """Makes the set of a volume filled by the function given."""

    def make(fill):
        put_live(make_file_system("ext4", tmp_path / "db.img"), tmp_path / "made", fill)
        return split_off(cli, tmp_path, "db")

    return make


def test_a_damaged_database_fails_and_is_named(made):
    checked = made(fill_with("a.db", "deep/b.sqlite", "c", damage="deep/b.sqlite"))
    verdict = checked.verify("--check", "sqlite", status=5)
    assert "db/deep/b.sqlite: " in verdict["detail"]
    databases = verdict["evidence"]["databases"]
    assert [one["database"] for one in databases if one["problems"]] == ["db/deep/b.sqlite"]
    assert len(databases) == 3
    only = ("--glob", "*.db", "--glob", "db/c")
    assert len(checked.verify("--check", "sqlite", *only)["evidence"]["databases"]) == 2
    assert checked.cli.json("snapshot", "show", "noon")["set"]["verified"]["ok"] is True


def test_only_in_a_folder(made):
    checked = made(fill_with("a.db", "deep/b.sqlite", damage="a.db"))
    for folder in ("deep", "db:deep", "/deep/"):
        checked.verify("--check", "sqlite", "--folder", folder)
    error = checked.cli.error(3, "snapshot", "verify", "noon", "--check", "sqlite", "--folder=no")
    assert "no" in error["message"]


def test_a_folder_that_cannot_be_read_is_not_passed_over(cli, tmp_path):
    image = make_file_system("ext4", tmp_path / "db.img")
    put_live(image, tmp_path / "made", fill_with("a.db", "deep/b.sqlite"))
    run("e2fsck", "-p", "-E", "journal_only", image)
    with image.open("r+b") as file:
        content = file.read()
        place = content.find(b"b.sqlite")
        assert place >= 0
        while place >= 0:  # the folder's block, and what the journal has of it
            file.seek(place // 1024 * 1024)
            file.write(os.urandom(1024))
            place = content.find(b"b.sqlite", place + 1024)
    verdict = split_off(cli, tmp_path, "db").verify("--check", "sqlite", status=5)
    assert "cannot be read" in verdict["detail"] or "cannot be mounted" in verdict["detail"]


def test_a_database_without_its_header_or_any_byte_is_not_sound(made):
    """SQLite takes a file of no bytes for a sound database without tables."""

    def fill(place):
        fill_with("a.db", "b.sqlite3")(place)
        with (place / "b.sqlite3").open("r+b") as file:
            file.write(bytes(4096))
        (place / "other.db").write_bytes(bytes(16) + b"of another program" * 99)
        (place / "gone.db").touch()

    checked = made(fill)
    verdict = checked.verify("--check", "sqlite", status=5)
    assert "db/b.sqlite3: file is not a database" in verdict["detail"]
    assert len(verdict["evidence"]["databases"]) == 2
    verdict = checked.verify("--check", "sqlite", "--glob", "gone.db", status=5)
    assert "no SQLite database matching gone.db was found" in verdict["detail"]


def test_a_row_without_its_parent_fails(made):
    verdict = made(fill_with("a.db", orphan=True)).verify("--check", "sqlite", status=5)
    assert "row of t" in verdict["detail"]


def test_what_matches_and_is_no_database_fails(made):
    checked = made(fill_with("a.db"))
    checked.verify("--check", "sqlite", "--glob", "text", status=5)
    checked.verify("--check", "sqlite", "--glob", "*.nothing", status=5)


def test_wishes_that_make_no_sense(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    for wish in (
        ("--check", "nosuch"),
        ("--check", "bytes", "--check", "bytes"),
        ("--check", "bytes", "--glob", "*"),
        ("--check", "bytes", "--folder", "a"),
        ("--check", "sqlite", "--folder", "../a"),
        ("--check", "script"),
        ("--check", "bytes", "--script", "/bin/true"),
        ("--check", "bytes", "--timeout", "0s"),
    ):
        shop.cli.error(2, "snapshot", "verify", "noon", *wish)


def look(path, tick):
    return check._look(SimpleNamespace(tick=tick), path, "a.db")


@pytest.fixture
def sound(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("create table t(x)")
        database.executemany("insert into t values (?)", ((one,) for one in range(2000)))
        database.commit()
    return tmp_path / "a.db"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, StopRequested])
def test_a_check_that_is_stopped_says_nothing_of_the_copy(sound, monkeypatch, stop):
    monkeypatch.setattr(check, "_STEPS", 100)
    assert look(sound, lambda: None)["problems"] == []

    def tick():
        raise stop

    with pytest.raises(stop):
        look(sound, tick)


def test_ctrl_c_that_sqlite_swallowed_is_ctrl_c(sound, monkeypatch):
    """It came between SQLite's call and the first line of what it calls."""

    def ask(database, seen):
        database.set_progress_handler(lambda: 1 / 0, 1)
        database.execute("select count(*) from t").fetchall()

    monkeypatch.setattr(check, "_ask", ask)
    with pytest.raises(KeyboardInterrupt):
        look(sound, lambda: None)
