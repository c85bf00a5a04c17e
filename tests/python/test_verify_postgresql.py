"""snapshot verify --check postgresql: a real server's copies under load recover, damaged do not."""

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from checked import make_file_system, need_devices, put_live, split_off
from conftest import MIB
from machine import copy_sparse, loop_device, run

from exshadow.service.checks import postgresql as check
from exshadow.service.checks.ground import Unsound
from interop.beds import mounted
from interop.postgres import Postgres, programs

SIZE = 160 * MIB


@pytest.fixture(scope="module", autouse=True)
def _server():
    need_devices()
    programs()


@pytest.fixture(scope="module")
def bed():
    """A folder that the user postgres may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="exshadow-pg-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def placed(bed: Path, tmp_path: Path):
    """A server with its data on one image and its WAL on another, both mounted."""
    for name in ("data", "wal"):
        make_file_system("ext4", tmp_path / f"{name}.img", SIZE)
    with (
        loop_device(tmp_path / "data.img") as data,
        loop_device(tmp_path / "wal.img") as wal,
        mounted(data, bed / "data"),
        mounted(wal, bed / "wal"),
    ):
        yield Postgres(bed / "data", bed / "wal", bed / "sockets")


def images(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data.img", tmp_path / "wal.img"


@pytest.fixture(scope="module")
def live_images(bed, tmp_path_factory):
    """Both images, cut while pgbench committed and with a tablespace; made once."""
    folder = tmp_path_factory.mktemp("live")
    with placed(bed, folder) as server:
        server.create()
        (server.wal / "space").mkdir()
        shutil.chown(server.wal / "space", "postgres", "postgres")
        with server.running():
            run(*server.client("pgbench", "--initialize", "--quiet", "--scale=1", "postgres"))
            server.query(f"create tablespace far location '{server.wal}/space'")
            server.query("create table apart(a int primary key) tablespace far")
            server.query("insert into apart select generate_series(1, 5000)")
            with server.under_pgbench():
                time.sleep(1)
                frozen = [server.data, server.wal]
                for place in frozen:
                    run("fsfreeze", "--freeze", place)
                try:
                    for image in images(folder):
                        copy_sparse(image, image.with_suffix(".cut"))
                finally:
                    for place in frozen:
                        run("fsfreeze", "--unfreeze", place)
    for image in images(folder):
        image.with_suffix(".cut").replace(image)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def live(live_images, tmp_path, cli):
    """The set noon of both volumes, a database that was at work."""
    take(live_images, tmp_path)
    return split_off(cli, tmp_path, "data", "wal")


def take(made: Path, tmp_path: Path) -> None:
    """The images of `made` for one test, which may damage them."""
    for one, own in zip(images(made), images(tmp_path), strict=True):
        copy_sparse(one, own)


def servers() -> set[str]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "postgres" in text and "exshadow-" in text and "/mounts/" in text:
            found.add(entry.parts[2])
    return found


def test_a_copy_under_load_recovers_and_is_sound(live):
    verdict = live.verify("--check", "postgresql")
    assert "checksums right" in verdict["detail"]
    (cluster,) = verdict["evidence"]["clusters"]
    assert cluster["cluster"] == "data/pg"
    assert any("redo done" in line for line in cluster["recovery"])
    assert {Path(step["command"].split()[0]).name for step in cluster["steps"]} == {
        "pg_amcheck",
        "pg_checksums",
    }
    taken = {one["link"].partition("/")[0]: one["taken"] for one in cluster["links"]}
    assert taken == {"pg_wal": "wal/pg", "pg_tblspc": "wal/space"}
    assert not servers()


def test_checksums_that_are_not_kept_are_not_said_to_be_right(bed, tmp_path, cli):
    with placed(bed, tmp_path) as server:
        server.create()
        run(*server.tool("pg_checksums", "--disable", "--pgdata", server.folder))
        with server.running():
            server.query("create table t(a int primary key)")
    found = split_off(cli, tmp_path, "data", "wal").verify("--check", "postgresql")
    assert "it keeps no checksums" in found["detail"]
    assert "right" not in found["detail"]


@pytest.mark.parametrize("also", ["", "; create role postgres login"])
def test_a_server_whose_superuser_has_another_name_is_looked_at_as_well(bed, tmp_path, cli, also):
    with placed(bed, tmp_path) as server:
        server.create()
        with server.running():
            server.query("create role boss superuser login")
            words = f"alter role postgres rename to app{also}"
            run(*server.client("psql", "--username=boss", "-qc", words, "postgres"))
        server.point_at_wal()
    verdict = split_off(cli, tmp_path, "data", "wal").verify(
        "--check", "postgresql", "--timeout", "60s"
    )
    (cluster,) = verdict["evidence"]["clusters"]
    assert "recovered, pg_amcheck found nothing, checksums right" in verdict["detail"]
    assert cluster["recovery"]
    assert not servers()


@pytest.mark.parametrize("said", ["", "perhaps"])
def test_a_server_that_does_not_tell_of_its_checksums_is_not_sound(said):
    with pytest.raises(Unsound, match="does not say whether it keeps checksums"):
        check._keeps_checksums(SimpleNamespace(ask=lambda query: said))


def test_without_the_wal_volume_it_fails(live, tmp_path):
    cli = live.cli
    cli("volume", "remove", "wal", "--yes")
    document = cli.json("snapshot", "verify", "noon", "--check", "postgresql", status=5)
    assert "pg_wal leads to" in document["set"]["checks"][-1]["detail"]
    assert not servers()


@contextmanager
def opened(image: Path, place: Path):
    with loop_device(image) as device, mounted(device, place) as top:
        yield top


def damage(cluster: Path, table: str) -> None:
    with (cluster / table).open("r+b") as file:
        file.seek(8192 * 3 + 4000)
        file.write(os.urandom(600))


@pytest.fixture(scope="module")
def still_images(bed, tmp_path_factory):
    """Both images of a server that was shut down, the file of a table of it and of an index."""
    folder = tmp_path_factory.mktemp("still")
    with placed(bed, folder) as server:
        server.create()
        with server.running():
            server.query("create table t(a int primary key, b text)")
            server.query("insert into t select n, repeat('x', 100) from generate_series(1, 5000) n")
            server.query("checkpoint")
            asked = "select pg_relation_filepath('{}')"
            paths = [server.query(asked.format(name)) for name in ("t", "t_pkey")]
    yield folder, paths
    shutil.rmtree(folder)


@pytest.fixture
def still(still_images, tmp_path):
    """The same for one test, and the two files."""
    made, paths = still_images
    take(made, tmp_path)
    return paths


@pytest.mark.parametrize("which", [0, 1], ids=["table", "index"])
def test_damage_is_found(still, which, bed, cli, tmp_path):
    with opened(tmp_path / "data.img", bed / "data") as top:
        damage(top / "pg", still[which])
    verdict = split_off(cli, tmp_path, "data", "wal").verify("--check", "postgresql", status=5)
    assert "pg_amcheck" in verdict["detail"]
    assert not servers()


def test_damage_that_only_checksums_see_is_found(still, bed, cli, tmp_path):
    """A page of a free space map: no table, no index."""
    with opened(tmp_path / "data.img", bed / "data") as top:
        path = top / "pg" / "global" / "1262_fsm"
        content = bytearray(path.read_bytes())
        content[100] ^= 255
        path.write_bytes(content)
    verdict = split_off(cli, tmp_path, "data", "wal").verify("--check", "postgresql", status=5)
    assert "pg_checksums" in verdict["detail"]


def test_lost_wal_does_not_start(live, bed, cli, tmp_path):
    """WAL of the copy is gone: the control file asks for it."""
    cli("snapshot", "delete", "noon")
    with opened(tmp_path / "wal-m2.img", bed / "wal") as top:
        for segment in (top / "pg").glob("0*"):
            segment.write_bytes(bytes(segment.stat().st_size))
    for name in ("data", "wal"):
        cli("volume", "remove", name, "--yes")
        (tmp_path / f"{name}-m2.img").replace(tmp_path / f"{name}.img")
    verdict = split_off(cli, tmp_path, "data", "wal").verify("--check", "postgresql", status=5)
    assert "does not start" in verdict["detail"]


def test_a_standby_and_settings_of_production_do_not_matter(still, bed, cli, tmp_path):
    with opened(tmp_path / "data.img", bed / "data") as top:
        (top / "pg" / "standby.signal").touch()
        (top / "pg" / "postmaster.pid").write_text("1\n")
        with (top / "pg" / "postgresql.auto.conf").open("a") as file:
            file.write("shared_preload_libraries = 'nosuch'\nlisten_addresses = '*'\n")
    split_off(cli, tmp_path, "data", "wal").verify("--check", "postgresql")


def test_a_link_to_what_no_copy_has_fails(still, bed, cli, tmp_path):
    """Else the server would write to production's own files."""
    with opened(tmp_path / "data.img", bed / "data") as top:
        base = top / "pg" / "base"
        elsewhere = bed / "elsewhere"
        shutil.copytree(base, elsewhere)
        shutil.rmtree(base)
        base.symlink_to(elsewhere)
    before = sorted((one, one.stat().st_mtime_ns) for one in (bed / "elsewhere").rglob("*"))
    verdict = split_off(cli, tmp_path, "data", "wal").verify("--check", "postgresql", status=5)
    assert "base leads to" in verdict["detail"]
    after = sorted((one, one.stat().st_mtime_ns) for one in (bed / "elsewhere").rglob("*"))
    assert before == after


def test_no_cluster_proves_nothing(cli, tmp_path):
    image = make_file_system("ext4", tmp_path / "db.img")
    put_live(image, tmp_path / "made", lambda place: (place / "PG_VERSION").write_text("15\n"))
    verdict = split_off(cli, tmp_path, "db").verify("--check", "postgresql", status=5)
    assert "no data folder" in verdict["detail"]


def test_a_version_that_is_not_here_is_refused(cli, tmp_path):
    def fill(place):
        (place / "PG_VERSION").write_text("9.1\n")
        (place / "global").mkdir()
        (place / "global" / "pg_control").write_bytes(bytes(8192))

    put_live(make_file_system("ext4", tmp_path / "db.img"), tmp_path / "made", fill)
    split_off(cli, tmp_path, "db")
    error = cli.error(4, "snapshot", "verify", "noon", "--check", "postgresql")
    assert "postgresql-9.1" in error["hint"]


def test_a_killed_check_takes_its_server_along(live, tmp_path):
    process = live.cli.start("snapshot", "verify", "noon", "--check", "postgresql")
    end = time.monotonic() + 60
    while not servers():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    live.verify("--check", "filesystem")  # the next command clears up
    end = time.monotonic() + 20
    while servers() and time.monotonic() < end:
        time.sleep(0.05)
    assert not servers()
