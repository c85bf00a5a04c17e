"""restore --roll-forward with a real PostgreSQL: no committed transaction is lost."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from checked import digest, make_file_system, need_devices, no_traces, split_off
from conftest import MIB
from machine import copy_sparse, loop_device, run
from mail import write_through

from interop.beds import mounted
from interop.postgres import Postgres, programs

SIZE = 192 * MIB


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
def placed(bed, images):
    """A server with its data on one image and its WAL on the other, mounted."""
    with (
        loop_device(images["data"]) as data,
        loop_device(images["wal"]) as wal,
        mounted(data, bed / "data"),
        mounted(wal, bed / "wal"),
    ):
        yield Postgres(bed / "data", bed / "wal", bed / "sockets")


def images(folder, ending=""):
    return {name: folder / f"{name}{ending}.img" for name in ("data", "wal")}


def commit(server, first, last):
    """Each row a transaction of its own."""
    server.query(f"do $$ begin for n in {first}..{last} loop insert into t values (n, "
                 "repeat('x', 2000)); commit; end loop; end $$")  # fmt: skip


@contextmanager
def going_on(cli, bed, tmp_path):
    """Production's server goes on; what it writes comes through the volumes."""
    fresh = images(tmp_path, "-fresh")
    for name, image in images(tmp_path).items():
        copy_sparse(image, fresh[name])
    with placed(bed, fresh) as server:
        yield server
    for name, image in images(tmp_path).items():
        write_through(cli, name, image, fresh[name])


def cut(bed, folder):
    """Both images at one instant, the server at work."""
    frozen = [bed / "data", bed / "wal"]
    for place in frozen:
        run("fsfreeze", "--freeze", place)
    try:
        for image in images(folder).values():
            copy_sparse(image, image.with_suffix(".cut"))
    finally:
        for place in frozen:
            run("fsfreeze", "--unfreeze", place)


@pytest.fixture(scope="module")
def history(bed, tmp_path_factory):
    """A folder with the images of a server at work with rows 1 to 100, NAME.cut, and of the same
    stopped with rows up to 20,000, NAME.img. Made once."""
    folder = tmp_path_factory.mktemp("history")
    for image in images(folder).values():
        make_file_system("ext4", image, SIZE)
    with placed(bed, images(folder)) as server:
        server.create()
        server.configure("wal_keep_size = '256MB'\n")
        with server.running():
            server.query("create table t(a int primary key, b text)")
            commit(server, 1, 100)
            cut(bed, folder)
            # Durable at the latest when the server stops: 20,000 waits for the disk prove no more.
            server.query("alter system set synchronous_commit = off")
            server.query("select pg_reload_conf()")
            commit(server, 101, 20_000)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def noon(history, cli, bed, tmp_path):
    """The set noon with rows 1 to 100, and production with rows up to 20,000."""
    for name, image in images(tmp_path).items():
        copy_sparse(history / f"{name}.cut", image)
    split_off(cli, tmp_path, "data", "wal")
    for name, image in images(tmp_path).items():
        later = copy_sparse(history / f"{name}.img", tmp_path / f"{name}-later.img")
        write_through(cli, name, image, later)
    yield cli
    assert no_traces(cli.state) == []


def segments(top):
    return sorted(one for one in (top / "pg").iterdir() if len(one.name) == 24)


def test_every_transaction_is_there(noon, bed, tmp_path):
    at = 40 * MIB
    noon.write("data", at, b"\xa5" * (64 * MIB))  # much of the data is gone
    before = digest(tmp_path / "wal.img")
    document = noon.json("restore", "noon", "--roll-forward")
    detail = document["verdict"]["detail"]
    assert "present and sound; " in detail
    assert "reaches production's last checkpoint" in detail or "is unproved" in detail
    assert digest(tmp_path / "wal.img") == before
    with placed(bed, images(tmp_path)) as server, server.running():
        assert server.query("select count(*), min(a), max(a) from t") == "20000|1|20000"
        server.query("set enable_seqscan = off; select a from t where a = 15000")


def test_a_broken_chain_is_refused(noon, bed, tmp_path):
    kept = tmp_path / "kept"
    with going_on(noon, bed, tmp_path) as server:
        middle = segments(server.wal)[1]
        shutil.copyfile(middle, kept)
        middle.unlink()
    message = noon.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "rule: the chain of logs must be whole" in message
    assert middle.name in message
    content = bytearray(kept.read_bytes())
    content[5 * MIB : 5 * MIB + 8192] = b"\xa5" * 8192
    with going_on(noon, bed, tmp_path) as server:
        middle.write_bytes(content)
        shutil.chown(middle, "postgres", "postgres")
    message = noon.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "WAL is damaged" in message


def test_segments_lost_at_the_end_are_missed(noon, bed, tmp_path):
    with going_on(noon, bed, tmp_path) as server:
        for segment in segments(server.wal)[2:]:
            segment.unlink()
    message = noon.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "rule: the chain of logs must be whole" in message
    assert "production had written to" in message
    noon.write("data", 0, b"\xa5" * (8 * MIB))  # and nobody can tell any more
    detail = noon.json("restore", "noon", "--roll-forward")["verdict"]["detail"]
    assert "its end is unproved: production's pg_control cannot be read" in detail


def test_a_wal_folder_that_is_gone_is_refused_with_the_rule(noon, bed, tmp_path):
    with going_on(noon, bed, tmp_path) as server:
        shutil.rmtree(server.wal / "pg")
    message = noon.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "rule: a roll-forward replays the current logs" in message
    assert "wal/pg" in message


def test_another_servers_wal_is_refused(noon, bed, tmp_path):
    with going_on(noon, bed, tmp_path) as server:
        for segment in segments(server.wal):
            content = bytearray(segment.read_bytes())
            content[24:32] = b"\1" * 8  # the system's identifier
            segment.write_bytes(content)
    assert "another system" in noon.error(4, "restore", "noon", "--roll-forward")["message"]


def test_a_later_timeline_is_refused(noon, bed, tmp_path):
    with going_on(noon, bed, tmp_path) as server:
        (server.wal / "pg" / "00000002.history").write_text("1\t0/3000000\tbefore\n")
    message = noon.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "gone on in timeline 2" in message


def test_a_tablespace_beside_the_wal_is_refused(cli, bed, tmp_path):
    for image in images(tmp_path).values():
        make_file_system("ext4", image, SIZE)
    with placed(bed, images(tmp_path)) as server:
        server.create()
        (server.wal / "space").mkdir()
        shutil.chown(server.wal / "space", "postgres", "postgres")
        with server.running():
            server.query(f"create tablespace far location '{server.wal}/space'")
            cut(bed, tmp_path)
    for image in images(tmp_path).values():
        image.with_suffix(".cut").replace(image)
    split_off(cli, tmp_path, "data", "wal")
    message = cli.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "share a volume (wal)" in message
    message = cli.error(4, "restore", "noon", "--roll-forward", "--volume", "data")["message"]
    assert "tablespaces are restored together" in message


def test_a_data_folder_that_was_shut_down_is_refused(noon, bed, tmp_path):
    """The server would begin a new WAL over the one of today."""
    for volume in ("data", "wal"):
        noon("mirror", "add", volume, tmp_path / f"{volume}-m3.img", "--label", "m3")
    noon("snapshot", "create", "g", "--label", "down")
    assert "was shut down" in noon.error(4, "restore", "down", "--roll-forward")["message"]


def test_wal_within_the_data_folder_is_refused(cli, bed, tmp_path):
    image = make_file_system("ext4", tmp_path / "data.img", SIZE)
    with loop_device(image) as device, mounted(device, bed / "data"):
        server = Postgres(bed / "data", bed / "data" / "wal", bed / "sockets")
        server.create()
        run("sync")
    split_off(cli, tmp_path, "data")
    message = cli.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "rule: logs and databases share a volume (data)" in message
