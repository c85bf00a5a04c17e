"""ESE files in a hostile world: streams, holes, files that shrink, interruption, limits, memory."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ese_log_maker import Chain, LogHeader, Segments, log7, log8
from ese_maker import Database, Header
from ese_sums import seal_header, seal_pages

import exshadow
from exshadow import ese
from exshadow._core import EseFile
from exshadow.errors import CorruptError, Error

MIB = 1 << 20


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on tmpfs that goes with the test."""
    folder = Path(tempfile.mkdtemp(prefix="exshadow-ese-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def piped(content: bytes, piece: int = 1 << 16) -> tuple[int, threading.Thread]:
    """The reading end of a pipe that is written in pieces."""
    ours, theirs = os.pipe()

    def write() -> None:
        with open(theirs, "wb", buffering=0) as pipe:  # noqa: PTH123
            for at in range(0, len(content), piece):
                pipe.write(content[at : at + piece])

    thread = threading.Thread(target=write)
    thread.start()
    return ours, thread


@pytest.mark.parametrize("size", [2048, 8192, 32768])
@pytest.mark.parametrize("piece", [777, 1 << 16])
def test_a_stream_is_judged_like_the_file(size: int, piece: int, tmp_path: Path) -> None:
    made = Database(Header(size), pages=70, empty=frozenset({3, 70})).build()
    made[20 * size] ^= 1
    (tmp_path / "a.edb").write_bytes(made)
    ours, thread = piped(bytes(made), piece)
    streamed = EseFile.stream(ours).scan()
    thread.join()
    os.close(ours)
    assert streamed == EseFile.open(tmp_path / "a.edb").scan()
    assert (streamed["pages"], streamed["bad"], streamed["empty"]) == (70, 1, 2)


def test_logs_come_through_a_stream_as_well() -> None:
    old = LogHeader(9, (7, 3704, 5, 0), 512, 8, 1024, 4096)
    for content in (log8(LogHeader(9)), log7(old, Chain(40))[0]):
        for cut, sound in ((len(content), True), (len(content) - 4096, False)):
            ours, thread = piped(bytes(content[:cut]))
            file = EseFile.stream(ours)
            assert file.log_header()["generation"] == 9
            body = file.log_body(False)
            thread.join()
            os.close(ours)
            assert body["sound"] == sound, body
            assert sound or body["trouble"]


def test_the_command_reads_standard_input(tmp_path: Path) -> None:
    made = Database(Header(8192), pages=300).build()
    command = [sys.executable, "-c", "from exshadow import ese; print(ese.check(['-']).to_json())"]
    done = subprocess.run(command, input=bytes(made), capture_output=True, check=True)
    assert b"'pages': 300, 'bad': 0" in done.stdout


def test_nothing_and_too_little(tmp_path: Path) -> None:
    made = Database(Header(8192), pages=4).build()
    (tmp_path / "empty.edb").write_bytes(b"")
    (tmp_path / "short.edb").write_bytes(made[:7000])
    (tmp_path / "header.edb").write_bytes(made[:8192])
    (tmp_path / "headers.edb").write_bytes(made[:16384])
    (tmp_path / "odd.edb").write_bytes(made + b"x" * 100)
    (tmp_path / "E00.log").write_bytes(b"")
    (tmp_path / "E00.chk").write_bytes(b"")
    (tmp_path / "a.jfm").write_bytes(b"")
    (tmp_path / "a.stm").write_bytes(b"")
    report = ese.check([tmp_path])
    assert len(report.files) == 9
    for one in report.files:
        assert not one.ok
        assert one.findings, one.path


def test_a_page_missing_from_the_middle(tmp_path: Path) -> None:
    made = Database(Header(8192), pages=9).build()
    (tmp_path / "a.edb").write_bytes(made[: 5 * 8192] + made[6 * 8192 :])
    (report,) = ese.check([tmp_path / "a.edb"]).files
    assert report.bad == 5
    assert "belongs at 5" in report.findings[0]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "E00.log")
    (tmp_path / "b.edb").symlink_to(tmp_path / "nowhere")
    with pytest.raises(exshadow.Error) as found:
        ese.check([tmp_path / "E00.log"])  # must not wait for somebody to write
    assert "neither a file" in found.value.message
    with pytest.raises(exshadow.NotFoundError):
        ese.check([tmp_path / "b.edb"])
    report = ese.check([tmp_path])  # never passed over in silence
    assert {Path(one.path).name: one.ok for one in report.files} == {"b.edb": False}
    with pytest.raises(ValueError, match="nothing to check"):
        ese.check([])


def test_folders_and_files_without_permission(tmp_path: Path) -> None:
    """As another user: root may read everything."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "a.edb").write_bytes(Database(Header(4096), pages=3).build())
    (tmp_path / "b.edb").write_bytes(Database(Header(4096), pages=3).build())
    (tmp_path / "c.edb").write_bytes(Database(Header(4096), pages=3).build())
    folder.chmod(0)
    (tmp_path / "b.edb").chmod(0)
    try:
        found = _as_nobody(tmp_path)
    finally:
        folder.chmod(0o755)
    assert "closed" in found, found  # never passed over in silence
    assert "b.edb" in found
    assert "False" in found


def _as_nobody(folder: Path) -> str:
    """What a check says in a child without root's rights; skips where that cannot be had."""
    if os.getuid() != 0:
        return str(ese.check([folder]).to_json())
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o111)
        folder.chmod(0o755)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            report = ese.check([folder])
            text = f"{report.ok} {report.to_json()}"
        except Error as problem:
            text = f"False {problem.message}"
        os.write(theirs, text.encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:  # noqa: PTH123
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


def test_a_file_that_shrinks_meanwhile_is_an_error(memory: Path) -> None:
    path = memory / "a.edb"
    path.write_bytes(Database(Header(8192), pages=6000).build())
    report = None
    halved = threading.Event()

    def tell(name: str, done: int, size: int | None) -> bool:
        if not halved.is_set():
            os.truncate(path, 8 * MIB)
            halved.set()
        return True

    with pytest.raises(OSError, match="shorter") as found:
        report = ese.check([path], threads=2, progress=tell)
    assert report is None
    assert found.value.hint


def test_a_file_that_grows_is_judged_as_it_was(memory: Path) -> None:
    path = memory / "a.edb"
    path.write_bytes(Database(Header(8192), pages=600).build())
    file = EseFile.open(path)
    with path.open("ab") as more:
        more.write(b"x" * 5000)
    found = file.scan()
    assert (found["pages"], found["bad"], found["odd_bytes"]) == (600, 0, 0)


@pytest.mark.parametrize("threads", [1, 4])
def test_holes_are_not_read(threads: int, tmp_path: Path) -> None:
    """A file of many tebibytes with next to nothing in it, and a page far out."""
    path, tib = tmp_path / "a.edb", 1 << 40
    made = Database(Header(32768), pages=20, empty=frozenset({7})).build()
    path.write_bytes(made)
    size = 7 * tib  # what ext4 can hold at most is 16; near enough
    try:
        os.truncate(path, size)
    except OSError as problem:
        pytest.skip(f"{tmp_path}: no files of 7 TiB: {problem}")
    started = time.monotonic()
    found = EseFile.open(path).scan(threads=threads)
    assert (found["pages"], found["bad"]) == (size // 32768 - 2, 0)
    assert found["empty"] == found["pages"] - 19
    with path.open("r+b") as file:
        file.seek(5 * tib + 32768)
        file.write(made[3 * 32768 : 4 * 32768])
        file.seek(6 * tib + 100)
        file.write(b"x")
    found = EseFile.open(path).scan(threads=threads)
    assert found["pages"] == size // 32768 - 2
    assert found["bad"] == 2
    assert [page["page"] for page in found["list"]] == [5 * tib // 32768, 6 * tib // 32768 - 1]
    assert found["list"][0]["belongs_at"] == 2
    assert time.monotonic() - started < 20


def test_more_pages_than_there_can_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.edb"
    path.write_bytes(Database(Header(2048), pages=2).build())
    try:
        os.truncate(path, 5 << 40)
    except OSError as problem:
        pytest.skip(f"no files of 5 TiB here: {problem}")
    with pytest.raises(ValueError, match="more pages than"):
        ese.check([path])
    (tmp_path / "a.jfm").write_bytes(b"")
    os.truncate(tmp_path / "a.jfm", 5 << 40)
    with pytest.raises(CorruptError):
        EseFile.open(tmp_path / "a.jfm").flush_map_pages()


# --- interruption, limits, memory ---


def big(path: Path, size: int) -> Path:
    """A sound database of 8 KiB pages: written in parts, not held in memory."""
    made = Database(Header(8192), pages=4096).build()
    with path.open("wb") as file:
        file.write(made)
        pages = np.frombuffer(bytes(made[16384:]), np.uint8).reshape(4096, 8192).copy()
        for first in range(4097, size // 8192 - 1, 4096):
            file.write(seal_pages(pages, np.arange(first, first + 4096, dtype=np.uint32)))
    return path


def interrupted(arguments: str, stdin: int | None = None) -> tuple[float, bytes]:
    """Ctrl-C half a second into a check: how long it then took, and what it said."""
    program = f"from exshadow import ese; print('ready', flush=True); ese.check({arguments})"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    time.sleep(0.7)
    assert child.poll() is None, child.communicate()
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, text = child.communicate(timeout=30)
    return time.monotonic() - started, text


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("limit", [1000, 2 * MIB])
def test_an_interruption_arrives_at_once(threads: int, limit: int, memory: Path) -> None:
    path = big(memory / "a.edb", 128 * MIB)
    took, text = interrupted(f"[{str(path)!r}], threads={threads}, limit={limit}")
    assert b"KeyboardInterrupt" in text
    assert took < 20, "it would be busy for a minute"


def test_a_stream_that_says_nothing_can_be_interrupted() -> None:
    ours, theirs = os.pipe()
    took, text = interrupted("['-']", ours)
    os.close(ours)
    os.close(theirs)
    assert b"KeyboardInterrupt" in text
    assert took < 20


def test_progress_may_stop_it_and_may_raise(memory: Path) -> None:
    path = big(memory / "a.edb", 64 * MIB)
    with pytest.raises(exshadow.CancelledError):
        ese.check([path], limit=8 * MIB, progress=lambda name, done, size: done == 0)

    def fail(name: str, done: int, size: int | None) -> bool:
        if done:
            raise RuntimeError("of the caller")
        return True

    with pytest.raises(RuntimeError, match="of the caller"):
        ese.check([path], limit=8 * MIB, progress=fail)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_limit_holds(threads: int, memory: Path) -> None:
    path = big(memory / "a.edb", 32 * MIB)
    told: list[int] = []
    started = time.monotonic()
    report = ese.check(
        [path],
        threads=threads,
        limit=16 * MIB,
        progress=lambda _name, done, _: told.append(done) is None,
    )
    took = time.monotonic() - started
    assert report.ok
    assert took >= 1.9
    assert told == sorted(told)
    assert len(told) >= 5


def test_memory_stays_small(memory: Path) -> None:
    """A quarter of a GiB here, 2 GiB in the benchmark: the file's size does not matter."""
    path = big(memory / "a.edb", 256 * MIB)
    program = f"""
import re
from pathlib import Path
from exshadow import ese
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
report = ese.check([{str(path)!r}], threads=8)
print(report.ok, peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    ok, grown = done.stdout.split()
    assert ok == "True"
    assert int(grown) < 64 << 10


def test_a_flood_of_bad_pages_costs_no_memory(memory: Path) -> None:
    path = big(memory / "a.edb", 64 * MIB)
    content = np.memmap(path, np.uint8, "r+", 16384, (8190, 8192))
    content[:, 1000] ^= 1
    report = ese.check([path], threads=3).files[0]
    assert report.bad == 8190
    assert len(report.findings) < 30
    found = EseFile.open(path).scan(threads=3, listed=10)
    assert [page["page"] for page in found["list"]] == list(range(1, 11))


def test_logs_of_impossible_sizes_are_damaged(tmp_path: Path) -> None:
    for at in (8, 10, 12):  # size of a sector, sectors of the header and of the file
        content = log8(LogHeader(5), Segments(2))
        struct.pack_into("<H", content, at, 0)
        content[:4096] = seal_header(content[:4096])
        (tmp_path / "E00.log").write_bytes(content)
        (report,) = ese.check([tmp_path / "E00.log"]).files
        assert not report.ok


# --- a medium that cannot be read ---


@contextmanager
def failing_file(folder: Path, content: bytes) -> Iterator[tuple[Path, Path]]:
    """A file by FUSE that cannot be read any more once the trigger exists."""
    tools = [tool for tool in ("nbdfuse", "nbdkit", "fusermount3") if shutil.which(tool) is None]
    if tools or not Path("/dev/fuse").exists():
        pytest.skip(f"no faulty file can be made here: {tools or '/dev/fuse'} missing")
    source, mount, trigger = folder / "source", folder / "mount", folder / "trigger"
    source.write_bytes(content)
    mount.mkdir()
    path = mount / "a.edb"
    path.touch()
    faulty = ["nbdkit", "--filter=error", "file", str(source), "error=EIO"]
    faulty += ["error-pread-rate=1", f"error-file={trigger}"]
    child = subprocess.Popen(["nbdfuse", "-r", str(path), "[", *faulty, "]"])
    try:
        for _ in range(100):
            if path.stat().st_size or child.poll() is not None:
                break
            time.sleep(0.1)
        if not path.stat().st_size:
            pytest.skip("nbdfuse cannot mount here")
        yield path, trigger
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(path)], check=False)
        child.terminate()
        child.wait(10)


def test_a_medium_that_fails_is_an_error_for_a_file_and_a_verdict_for_a_folder(
    tmp_path: Path,
) -> None:
    made = bytes(Database(Header(8192), pages=3000).build())
    with failing_file(tmp_path, made) as (path, trigger):
        assert ese.check([path]).ok
        file = EseFile.open(path)
        trigger.touch()
        with pytest.raises(OSError, match="cannot read"):
            file.scan(threads=2)
        with pytest.raises(OSError, match="cannot read"):
            ese.check([path])
        report = ese.check([path.parent])
        assert not report.ok
        assert "cannot read" in report.files[0].findings[0]
