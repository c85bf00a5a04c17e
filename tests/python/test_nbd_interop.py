"""The NBD server beside strangers: libnbd's, QEMU's tools, fio. And its life in an engine."""

import json
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import MIB, make_image
from machine import sparse

import exshadow

TOOLS = ("nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio")
SIZE = 16 * MIB
SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian puts libnbd's module

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
)


class Served:
    """An engine with one volume, a mirror and a server on `socket`."""

    def __init__(self, folder: Path, loop: str, *, mirror: bool = True) -> None:
        self.folder = folder
        self.socket = folder / "nbd.sock"
        self.engine = exshadow.Engine(loop=loop)  # type: ignore[arg-type]
        self.image = make_image(folder / "db.img", SIZE)
        self.volume = self.engine.create(folder / "db.exv", plex=self.image)
        if mirror:
            self.volume.add_plex(folder / "m2.img", label="m2").wait()
        self.server = self.engine.serve(self.socket, views=folder, view_limit=8 * MIB)

    def uri(self, name: str = "db") -> str:
        return f"nbd+unix:///{name}?socket={self.socket}"

    def split(self, label: str = "noon") -> exshadow.Snapshot:
        return self.engine.split([self.volume], label)["db"]


@pytest.fixture(params=["uring", "pool"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    try:
        made = Served(tmp_path, request.param)
    except exshadow.UnsupportedError as error:
        pytest.skip(str(error))
    with made.engine:
        yield made


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
    )
    assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
    return done


def info(uri: str, *options: str) -> list[dict[str, int]]:
    return json.loads(run("nbdinfo", "--json", *options, uri).stdout)


def test_nbdinfo_lists_volumes_and_snapshots(served: Served) -> None:
    served.split()
    listed = json.loads(run("nbdinfo", "--json", "--list", served.uri("")).stdout)
    exports = {one["export-name"]: one for one in listed["exports"]}
    assert exports.keys() == {"db", "db@noon"}
    volume, snapshot = exports["db"], exports["db@noon"]
    assert volume["export-size"] == snapshot["export-size"] == SIZE
    assert not volume["is_read_only"]
    assert snapshot["is_read_only"]
    assert volume["can_multi_conn"]
    assert volume["can_fua"]
    assert volume["can_df"]
    assert volume["can_trim"]
    assert volume["can_fast_zero"]
    assert volume["can_cache"]
    assert volume["block_size_minimum"] == 1
    assert volume["block_size_maximum"] == 32 * MIB
    assert volume["contexts"] == ["base:allocation", "exshadow:changed/noon"]


def test_nbdinfo_maps_allocation_and_changes(served: Served) -> None:
    served.split()
    served.volume.zero(4 * MIB, 4 * MIB, unmap=True)
    served.volume.write(MIB, b"x" * 4096)
    allocation = info(served.uri(), "--map")
    assert sum(one["length"] for one in allocation) == SIZE
    holes = [(one["offset"], one["length"]) for one in allocation if one["type"] == 3]
    assert holes == [(4 * MIB, 4 * MIB)]
    changed = info(served.uri(), "--map=exshadow:changed/noon")
    marked = [(one["offset"], one["length"]) for one in changed if one["type"] == 1]
    assert marked == [(MIB, 65536), (4 * MIB, 4 * MIB)]


def test_changes_of_16_TiB_are_mapped_quickly(memory: Path) -> None:
    """Each block status request costs its own range; were it the volume, this took minutes."""
    size, step = 1 << 44, 1 << 30
    sparse(memory / "db.img", size)
    with exshadow.Engine() as engine:
        volume = engine.create(memory / "db.exv", plex=memory / "db.img")
        volume.add_plex(memory / "m2.img", label="m2").wait()
        engine.split([volume], "noon")
        for offset in range(step, size, step):
            volume.write(offset, b"x")
        engine.serve(memory / "nbd.sock")
        began = time.monotonic()
        uri = f"nbd+unix:///db?socket={memory}/nbd.sock"
        changed = info(uri, "--map=exshadow:changed/noon")
        assert time.monotonic() - began < 15
    marked = [(one["offset"], one["length"]) for one in changed if one["type"] == 1]
    assert marked == [(offset, 65536) for offset in range(step, size, step)]


def test_qemu_img_converts_compares_and_maps(served: Served, tmp_path: Path) -> None:
    served.split()
    served.volume.write(0, b"later")
    source = make_image(tmp_path / "other.img", SIZE)
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", served.uri("db@noon"), tmp_path / "m2.img")
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, served.uri())
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, served.uri())
    differs = run(
        "qemu-img",
        "compare",
        "-f",
        "raw",
        "-F",
        "raw",
        served.uri("db@noon"),
        served.uri(),
        check=False,
    )
    assert differs.returncode == 1, differs.stderr
    mapped = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", served.uri()).stdout)
    assert sum(one["length"] for one in mapped) == SIZE
    served.volume.flush()
    assert source.read_bytes() == served.image.read_bytes()


def test_qemu_io_writes_zeroes_discards_and_reads_back(served: Served) -> None:
    script = (
        "write -P 5 0 1M", "write -f -P 6 1M 64k", "flush", "discard 4k 8k", "write -z 512k 64k",
        "write -z -u 640k 64k", "read -P 5 0 4k", "read -P 0 4k 8k", "read -P 0 512k 64k",
        "read -P 0 640k 64k", "read -P 6 1M 64k", "aio_write -P 7 2M 1M", "aio_flush",
        "read -P 7 2M 1M",
    )  # fmt: skip
    done = run(
        "qemu-io", "-f", "raw", *(part for line in script for part in ("-c", line)), served.uri()
    )
    assert "failed" not in done.stdout
    refused = run("qemu-io", "-f", "raw", "-c", f"read {SIZE} 512", served.uri(), check=False)
    assert refused.returncode != 0


def test_views_are_writable_and_thrown_away(served: Served, tmp_path: Path) -> None:
    served.split()
    before = (tmp_path / "m2.img").read_bytes()
    view = served.uri("db@noon+view")
    run("qemu-io", "-f", "raw", "-c", "write -P 7 100k 1M", "-c", "read -P 7 100k 1M", view)
    assert not list(tmp_path.glob(".view*"))
    full = run("qemu-io", "-f", "raw", "-c", f"write -P 7 0 {SIZE // MIB}M", view, check=False)
    assert "No space" in full.stdout + full.stderr
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", view, tmp_path / "m2.img")
    assert (tmp_path / "m2.img").read_bytes() == before
    refused = run("qemu-io", "-f", "raw", "-c", "write 0 4k", served.uri("db@noon"), check=False)
    assert refused.returncode != 0


def test_nbdcopy_copies_out_and_in(served: Served, tmp_path: Path) -> None:
    out = tmp_path / "out.img"
    run("nbdcopy", "--connections=2", "--requests=16", served.uri(), out)
    assert out.read_bytes() == served.image.read_bytes()
    source = make_image(tmp_path / "in.img", SIZE)
    run("nbdcopy", "--flush", "--connections=2", "--request-size=262144", source, served.uri())
    assert served.image.read_bytes() == source.read_bytes()


LIBNBD = """
import nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.add_meta_context("exshadow:changed/noon")
h.connect_uri(sys.argv[1])
assert h.can_meta_context("exshadow:changed/noon") and h.get_structured_replies_negotiated()
second = nbd.NBD()
second.connect_uri(sys.argv[1])
h.pwrite(b"one" * 1000, 1000)
second.flush()
assert second.pread(3000, 1000) == b"one" * 1000
h.pwrite(b"two" * 500, 5, nbd.CMD_FLAG_FUA)
h.zero(4096, 0, nbd.CMD_FLAG_NO_HOLE)
h.trim(65536, 65536)
h.cache(65536, 0)
assert h.pread(4096, 0) == bytearray(4096)
chunks = []
assert h.pread_structured(8192, 65536, lambda *what: chunks.append(what[2]), nbd.CMD_FLAG_DF)
assert chunks == [nbd.READ_HOLE], chunks
seen = {}
h.block_status(1 << 20, 0, lambda name, at, extents, error: seen.setdefault(name, extents) and 0)
assert set(seen) == {"base:allocation", "exshadow:changed/noon"}, seen
seen = {}
h.block_status(1 << 20, 0, lambda n, a, e, r: seen.setdefault(n, e) and 0, nbd.CMD_FLAG_REQ_ONE)
assert all(len(extents) == 2 for extents in seen.values()), seen
h.set_strict_mode(0)
for call in (lambda: h.pread(512, h.get_size()), lambda: h.pwrite(b"x" * 512, h.get_size() - 511)):
    try:
        call()
    except nbd.Error as error:
        assert error.errno in ("EINVAL", "ENOSPC"), error
    else:
        raise AssertionError("not refused")
h.shutdown()
second.shutdown()
"""


def test_libnbd_shell(served: Served) -> None:
    if run(SYSTEM_PYTHON, "-c", "import nbd", check=False).returncode:
        pytest.skip("needs python3-libnbd")
    served.split()
    run(SYSTEM_PYTHON, "-c", LIBNBD, served.uri())


def test_fio_verifies_what_it_wrote(served: Served) -> None:
    sizes = ("--bsrange=512-128k", "--bs_unaligned", f"--size={SIZE}", "--iodepth=16")
    verify = ("--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0")
    target = ("--name=v", "--ioengine=nbd", f"--uri={served.uri()}", "--rw=randwrite")
    run("fio", *target, *sizes, *verify, "--fsync=32")
    statistics = served.server.exports()["db"]
    assert statistics["writes"] > 0
    assert statistics["reads"] > 0
    assert statistics["errors"] == 0
    assert statistics["bytes_written"] > SIZE // 2
    served.volume.verify().wait()


def test_clients_are_shown_while_they_are_there(served: Served) -> None:
    assert served.server.connections == []
    client = subprocess.Popen(
        ["qemu-io", "-f", "raw", served.uri()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("write -P 1 0 4096\n")
    client.stdin.flush()
    assert "wrote" in client.stdout.readline()
    (connection,) = served.server.connections
    assert connection["export"] == "db"
    assert connection["writable"]
    assert connection["bytes"] == 4096
    assert str(client.pid) in connection["peer"]
    client.communicate("quit\n")
    assert client.returncode == 0


def test_split_and_restore_under_a_client(served: Served) -> None:
    run("qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", served.uri())
    snapshot = served.split()
    run("qemu-io", "-f", "raw", "-c", "write -P 2 0 1M", served.uri())
    run("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 1M", served.uri("db@noon"))
    served.volume.restore(snapshot).wait()
    run("qemu-io", "-f", "raw", "-c", "read -P 1 0 1M", served.uri())


def test_a_closed_volume_lets_its_clients_go(served: Served) -> None:
    client = subprocess.Popen(
        ["qemu-io", "-f", "raw", served.uri()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("write -P 9 0 4096\n")
    client.stdin.flush()
    assert "wrote" in client.stdout.readline()
    served.volume.close()
    assert served.server.connections == []
    assert served.image.read_bytes()[:4096] == b"\x09" * 4096
    output, _ = client.communicate("read 0 4096\nquit\n", timeout=30)
    assert "failed" in output
    assert run("nbdinfo", "--size", served.uri(), check=False).returncode != 0
    served.engine.open(served.folder / "db.exv")
    run("nbdinfo", "--size", served.uri())


def test_a_socket_is_private_and_replaced_only_when_abandoned(
    make: Callable[..., exshadow.Volume], tmp_path: Path
) -> None:
    path = tmp_path / "s.sock"
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(path))
    abandoned.close()
    before = os.umask(0)
    try:
        with exshadow.Engine() as engine:
            make(engine, mirror=False)
            with engine.serve(path) as server:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert server.addresses == [str(path)]
                with pytest.raises(exshadow.BusyError):
                    engine.serve(path)
            assert not path.exists()
            path.write_bytes(b"not a socket")
            with pytest.raises(exshadow.ExistsError):
                engine.serve(path)
            assert path.read_bytes() == b"not a socket"
    finally:
        os.umask(before)


def test_tcp_is_for_loopback_only(make: Callable[..., exshadow.Volume], tmp_path: Path) -> None:
    with exshadow.Engine() as engine:
        make(engine, mirror=False)
        with pytest.raises(exshadow.RefusedError, match="no TLS yet"):
            engine.serve(tmp_path / "s.sock", tcp=("0.0.0.0", 0))
        assert not (tmp_path / "s.sock").exists()
        with engine.serve(tmp_path / "s.sock", tcp=("127.0.0.1", 0)) as server:
            (address,) = (one for one in server.addresses if one.startswith("127."))
            run("qemu-io", "-f", "raw", "-c", "write -P 3 0 64k", f"nbd://{address}/db")
            run("nbdinfo", "--size", f"nbd://{address}/")  # the default export: there is no choice


def test_closing_the_engine_closes_its_servers(
    make: Callable[..., exshadow.Volume], tmp_path: Path
) -> None:
    engine = exshadow.Engine()
    make(engine, mirror=False)
    server = engine.serve(tmp_path / "s.sock")
    engine.close()
    assert not (tmp_path / "s.sock").exists()
    server.close()
    with pytest.raises(exshadow.ClosedError):
        engine.serve(tmp_path / "s.sock")
