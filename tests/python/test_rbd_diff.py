"""Full images and Ceph's RBD diffs: the bytes, the refusals, the repeated import."""

import fcntl
import io
import os
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exshadow import errors, image_base, rbd_diff, sparse
from exshadow.rbd_format import BANNER, Reader

REGION = 65536


def text(tag: bytes, name: str) -> bytes:
    return tag + struct.pack("<I", len(name)) + name.encode()


def diff_by_hand(
    records: bytes = b"",
    *,
    from_id: str | None = "a.v",
    to_id: str | None = "b.v",
    size: int = 65536,
) -> bytes:
    """The layout of Ceph's rbd-diff document, spelled without the code under test."""
    head = BANNER
    head += text(b"f", from_id) if from_id else b""
    head += text(b"t", to_id) if to_id else b""
    return head + b"s" + struct.pack("<Q", size) + records + b"e"


def write_record(offset: int, data: bytes) -> bytes:
    return b"w" + struct.pack("<QQ", offset, len(data)) + data


def zero_record(offset: int, length: int) -> bytes:
    return b"z" + struct.pack("<QQ", offset, length)


def reader_of(content: bytes):
    return lambda offset, length: content[offset : offset + length]


def extents_of(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def image_holding(path: Path, content: bytes, holds: str = "a.v") -> Path:
    rbd_diff.export_full(reader_of(content), len(content), path, holds=holds)
    return path


def noise(length: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(length)


# The bytes


def test_export_writes_exactly_the_documented_bytes():
    content = noise(4096) + bytes(8192) + noise(4096, 2)
    out = io.BytesIO()
    done = rbd_diff.export_diff(
        reader_of(content), extents_of((0, 16384)), 16384, "a.v", "b.v", out
    )
    expected = diff_by_hand(
        write_record(0, content[:4096])
        + zero_record(4096, 8192)
        + write_record(12288, content[12288:]),
        size=16384,
    )
    assert out.getvalue() == expected
    assert (done.bytes_copied, done.bytes_zeroed, done.bytes_total) == (8192, 8192, 16384)


def test_diff_written_by_hand_is_applied(tmp_path: Path):
    before = noise(65536)
    image = image_holding(tmp_path / "v.img", before)
    records = zero_record(4096, 8192) + write_record(20001, b"new bytes")
    rbd_diff.import_diff(io.BytesIO(diff_by_hand(records)), image)
    after = bytearray(before)
    after[4096 : 4096 + 8192] = bytes(8192)
    after[20001:20010] = b"new bytes"
    assert image.read_bytes() == after
    assert image_base.load(image).holds == "b.v"


def test_zeroes_of_neighbouring_extents_become_one_record():
    size = 4 * sparse.CHUNK
    out = io.BytesIO()
    rows = extents_of((0, size // 2), (size // 2, size // 2))
    rbd_diff.export_diff(reader_of(bytes(size)), rows, size, None, "b.v", out)
    assert out.getvalue() == diff_by_hand(zero_record(0, size), from_id=None, size=size)


def test_metadata_may_stand_in_any_order(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    stream = BANNER + b"s" + struct.pack("<Q", 65536) + text(b"t", "b.v") + text(b"f", "a.v") + b"e"
    rbd_diff.import_diff(io.BytesIO(stream), image)
    assert image_base.load(image).holds == "b.v"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_export_then_import_makes_the_same_image(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")
    regions = data.draw(st.integers(1, 6))
    size = regions * REGION - data.draw(st.sampled_from([0, 512, 61440]))
    before, after = bytearray(noise(size)), bytearray(noise(size))
    cuts = sorted(data.draw(st.sets(st.integers(0, size), min_size=0, max_size=8)))
    rows = [(a, b - a) for a, b in list(pairwise(cuts))[::2] if b > a]
    for number, (offset, length) in enumerate(rows):
        zero = data.draw(st.booleans())
        after[offset : offset + length] = bytes(length) if zero else noise(length, number)
    image = image_holding(folder / "v.img", bytes(before))
    out = io.BytesIO()
    seen: list[tuple[int, int]] = []
    rbd_diff.export_diff(
        reader_of(bytes(after)),
        extents_of(*rows),
        size,
        "a.v",
        "b.v",
        out,
        lambda *a: seen.append(a),
    )
    rbd_diff.import_diff(io.BytesIO(out.getvalue()), image)
    assert image.read_bytes() == after
    assert not rows or seen[-1][0] == seen[-1][1] == sum(length for _, length in rows)


def test_memory_stays_bounded_for_records_of_any_length():
    asked = []

    class Endless(io.RawIOBase):
        """A header, then one record of 2^40 bytes that never come to an end."""

        def __init__(self) -> None:
            self._head = io.BytesIO(
                diff_by_hand(size=1 << 41)[:-1] + b"w" + struct.pack("<QQ", 0, 1 << 40)
            )

        def read(self, length: int = -1) -> bytes:
            asked.append(length)
            return self._head.read(length) or bytes(length)

    reader = Reader(Endless())  # type: ignore[arg-type]
    next(reader.records())
    pieces = reader.data()
    assert sum(len(next(pieces)) for _ in range(4)) == 4 * sparse.CHUNK
    assert max(asked) <= sparse.CHUNK


# Bad input: nothing is changed


BAD = {
    "empty": b"",
    "no diff": b"QFI\xfb" + bytes(100),
    "version 2": b"rbd diff v2\n" + diff_by_hand()[len(BANNER) :],
    "header cut": diff_by_hand()[:20],
    "no size": BANNER + text(b"f", "a.v") + text(b"t", "b.v") + b"e",
    "name too long": BANNER + b"f" + struct.pack("<I", 4097) + bytes(4097),
    "name is not text": BANNER + b"f" + struct.pack("<I", 2) + b"\xff\xfe",
    "name twice": BANNER + text(b"f", "a.v") + text(b"f", "a.v"),
    "absurd size": diff_by_hand(size=1 << 63),
    "unknown tag": diff_by_hand(b"q"),
    "metadata after data": diff_by_hand(zero_record(0, 4096) + text(b"t", "c.v")),
    "beyond the end": diff_by_hand(write_record(0, bytes(8)) + zero_record(65000, 4096)),
    "offset overflows": diff_by_hand(zero_record((1 << 64) - 4096, 8192)),
    "empty record": diff_by_hand(write_record(0, bytes(8)) + zero_record(0, 0)),
    "no end": diff_by_hand(write_record(0, bytes(8)))[:-1],
    "data cut": diff_by_hand(write_record(0, noise(4096)))[:-100],
    "something follows": diff_by_hand(write_record(0, noise(4096))) + b"e",
    "other size": diff_by_hand(write_record(0, noise(4096)), size=131072),
    "no to": diff_by_hand(write_record(0, noise(4096)), to_id=None),
}


@pytest.mark.parametrize("stream", BAD.values(), ids=BAD.keys())
def test_bad_diff_is_refused_before_a_byte_is_written(stream: bytes, tmp_path: Path):
    before = noise(65536)
    image = image_holding(tmp_path / "v.img", before)
    record = image_base.load(image)
    with pytest.raises((errors.CorruptError, errors.InvalidError)) as caught:
        rbd_diff.import_diff(io.BytesIO(stream), image)
    assert caught.value.exit_status in (2, 5)
    assert image.read_bytes() == before
    assert image_base.load(image) == record


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 8300))
def test_any_truncation_is_noticed(cut: int):
    whole = diff_by_hand(write_record(0, noise(8192)) + zero_record(8192, 4096))
    cut = min(cut, len(whole) - 1)
    with pytest.raises((errors.CorruptError, errors.InvalidError)):
        for _ in Reader(io.BytesIO(whole[:cut])).records():
            pass
    with pytest.raises((errors.CorruptError, errors.InvalidError)):
        Reader(io.BytesIO(whole[:cut])).look_ahead()


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=200), tail=st.booleans())
def test_any_bytes_give_a_typed_error_or_a_diff(stream: bytes, tail: bool):
    try:
        reader = Reader(io.BytesIO(diff_by_hand()[:-1] + stream if tail else stream))
        for _ in reader.records():
            pass
    except (errors.CorruptError, errors.InvalidError):
        pass


@pytest.mark.parametrize(
    "rows", [[(0, 0)], [(-1, 2)], [(0, 70000)], [(4096, 4096), (0, 4096)], [(0, 8192), (4096, 8)]]
)
def test_extents_that_are_none_are_refused(rows: list[tuple[int, int]]):
    with pytest.raises(errors.InvalidError):
        rbd_diff.export_diff(
            reader_of(bytes(65536)), extents_of(*rows), 65536, None, "b.v", io.BytesIO()
        )


def test_short_read_is_an_io_error():
    with pytest.raises(errors.IoError):
        rbd_diff.export_diff(
            lambda offset, length: b"x", extents_of((0, 4096)), 4096, None, "b.v", io.BytesIO()
        )


# The base


def test_import_onto_another_base_is_refused(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536), holds="z.v")
    before = image.read_bytes()
    with pytest.raises(errors.IntegrityError) as caught:
        rbd_diff.import_diff(io.BytesIO(diff_by_hand(write_record(0, noise(8)))), image)
    assert caught.value.code == "mismatch"
    assert image.read_bytes() == before


def test_import_onto_an_image_without_record_is_refused_unless_forced(tmp_path: Path):
    image = tmp_path / "v.img"
    image.write_bytes(bytes(65536))
    stream = diff_by_hand(write_record(0, b"12345678"))
    with pytest.raises(errors.IntegrityError):
        rbd_diff.import_diff(io.BytesIO(stream), image)
    assert image.read_bytes() == bytes(65536)
    rbd_diff.import_diff(io.BytesIO(stream), image, force=True)
    assert image.read_bytes()[:8] == b"12345678"


def test_image_written_to_since_is_not_believed(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    with image.open("r+b") as file:
        file.write(b"mounted read-write")
    os.utime(image, ns=(0, image.stat().st_mtime_ns + 1_000_000))
    with pytest.raises(errors.IntegrityError, match="written to"):
        rbd_diff.import_diff(io.BytesIO(diff_by_hand()), image)


def test_diff_without_base_makes_a_new_image(tmp_path: Path):
    image = tmp_path / "new.img"
    stream = diff_by_hand(write_record(4096, b"content"), from_id=None)
    rbd_diff.import_diff(io.BytesIO(stream), image)
    assert image.read_bytes() == bytes(4096) + b"content" + bytes(65536 - 4103)
    with pytest.raises(errors.NotFoundError):
        rbd_diff.import_diff(io.BytesIO(diff_by_hand()), tmp_path / "absent.img")


def test_importing_again_does_nothing(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    stream = diff_by_hand(write_record(0, b"12345678"))
    rbd_diff.import_diff(io.BytesIO(stream), image)
    changed = image.stat().st_mtime_ns
    assert rbd_diff.import_diff(io.BytesIO(stream), image).bytes_copied == 0
    assert image.stat().st_mtime_ns == changed


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_interrupted_import_is_repeated_and_no_other_is_accepted(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    stream = diff_by_hand(write_record(0, noise(4096, 5)) + write_record(8192, noise(4096, 6)))
    with pytest.raises(errors.CorruptError):
        rbd_diff.import_diff(Unseekable(stream[:6000]), image)
    record = image_base.load(image)
    assert (record.holds, record.importing) == ("a.v", "b.v")
    other = diff_by_hand(write_record(0, noise(8)), to_id="c.v")
    with pytest.raises(errors.IntegrityError, match="middle of an import"):
        rbd_diff.import_diff(io.BytesIO(other), image)
    with pytest.raises(errors.IntegrityError, match="middle of an import"):
        rbd_diff.import_full(image, tmp_path / "copy.img")
    rbd_diff.import_diff(Unseekable(stream), image)
    expected = noise(65536)
    assert image.read_bytes() == (
        noise(4096, 5) + expected[4096:8192] + noise(4096, 6) + expected[12288:]
    )
    assert image_base.load(image).importing is None


def test_record_says_importing_before_the_first_byte(tmp_path: Path, monkeypatch):
    image = image_holding(tmp_path / "v.img", noise(65536))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sparse, "write_all", fail)
    with pytest.raises(KeyboardInterrupt):
        rbd_diff.import_diff(io.BytesIO(diff_by_hand(write_record(0, noise(8)))), image)
    assert image_base.load(image).importing == "b.v"


def test_damaged_record_is_refused(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    for content in ("", "{", '{"format": 2}', '{"format": 1, "holds": 3}', "[]"):
        image_base.record_path(image).write_text(content)
        with pytest.raises(errors.CorruptError):
            rbd_diff.import_diff(io.BytesIO(diff_by_hand()), image)


def test_image_in_use_is_busy(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    with image.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(errors.BusyError):
            rbd_diff.import_diff(io.BytesIO(diff_by_hand()), image)


def test_folder_is_no_image(tmp_path: Path):
    with pytest.raises(errors.InvalidError):
        rbd_diff.import_diff(io.BytesIO(diff_by_hand()), tmp_path, force=True)


def test_wrong_digest_is_refused(tmp_path: Path):
    image = image_holding(tmp_path / "v.img", noise(65536))
    out = io.BytesIO()
    done = rbd_diff.export_diff(
        reader_of(noise(65536, 3)), extents_of((0, 4096)), 65536, "a.v", "b.v", out
    )
    flipped = bytearray(out.getvalue())
    flipped[-100] ^= 1
    with pytest.raises(errors.CorruptError, match="SHA-256"):
        rbd_diff.import_diff(io.BytesIO(bytes(flipped)), image, sha256=done.sha256)
    rbd_diff.import_diff(io.BytesIO(out.getvalue()), image, sha256=done.sha256)
    assert image.read_bytes()[:4096] == noise(4096, 3)


# Full images


def test_full_export_is_sparse_and_equal(tmp_path: Path):
    content = noise(REGION) + bytes(8 << 20) + noise(REGION)
    image = image_holding(tmp_path / "v.img", content)
    assert image.read_bytes() == content
    assert image.stat().st_blocks * 512 < len(content) // 4
    assert image_base.load(image).holds == "a.v"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.img", "v.img.exshadow-base"]


def test_full_export_reads_only_where_data_can_be(tmp_path: Path):
    source = tmp_path / "sparse.img"
    with source.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(noise(4096))
    asked = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        with source.open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    rbd_diff.export_full(
        read, 1 << 40, tmp_path / "v.img", extents=sparse.data_extents(source), holds="a.v"
    )
    assert sum(asked) < 1 << 20
    assert sparse.data_extents(tmp_path / "v.img") == sparse.data_extents(source)


def test_full_export_to_a_stream_spells_zeroes_out():
    content = bytes(5000) + noise(3 * sparse.CHUNK) + bytes(9000)
    out = io.BytesIO()
    rbd_diff.export_full(
        reader_of(content), len(content), out, extents=[(4096, 3 * sparse.CHUNK + 4096)]
    )
    assert out.getvalue() == content


def test_full_export_does_not_overwrite(tmp_path: Path):
    (tmp_path / "v.img").write_bytes(b"mine")
    with pytest.raises(errors.ExistsError):
        rbd_diff.export_full(reader_of(bytes(4096)), 4096, tmp_path / "v.img")
    assert (tmp_path / "v.img").read_bytes() == b"mine"


def test_failed_full_export_leaves_nothing(tmp_path: Path):
    def broken(offset: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(errors.IoError):
        rbd_diff.export_full(broken, 4096, tmp_path / "v.img", holds="a.v")
    assert list(tmp_path.iterdir()) == []


def test_full_import_carries_the_record_on(tmp_path: Path):
    content = noise(REGION) + bytes(1 << 20) + noise(REGION)
    source = image_holding(tmp_path / "v.img", content)
    target = tmp_path / "target.img"
    target.write_bytes(noise(len(content), 9))
    rbd_diff.import_full(source, target)
    assert target.read_bytes() == content
    assert image_base.load(target).holds == "a.v"
    with target.open("rb") as file:
        assert image_base.unchanged(image_base.load(target), file.fileno())


def test_full_import_of_an_altered_image_carries_no_record(tmp_path: Path):
    source = image_holding(tmp_path / "v.img", noise(65536))
    os.utime(source, ns=(0, 0))
    rbd_diff.import_full(source, tmp_path / "target.img")
    assert image_base.load(tmp_path / "target.img") is None


def test_full_import_refuses_another_size_and_itself(tmp_path: Path):
    source = image_holding(tmp_path / "v.img", noise(65536))
    (tmp_path / "other.img").write_bytes(bytes(4096))
    with pytest.raises(errors.InvalidError):
        rbd_diff.import_full(source, tmp_path / "other.img")
    with pytest.raises(errors.InvalidError):
        rbd_diff.import_full(source, source)
    assert (tmp_path / "other.img").read_bytes() == bytes(4096)
    assert source.read_bytes() == noise(65536)


# Strangers


@pytest.mark.skipif(shutil.which("rbd") is None, reason="rbd (ceph-common) is not installed")
def test_ceph_merges_two_of_our_diffs(tmp_path: Path):
    size = 1 << 20
    states = [noise(size, 1)]
    for number, (offset, length) in enumerate([(0, 131072), (65536, 262144)], start=2):
        after = bytearray(states[-1])
        after[offset : offset + length] = noise(length // 2, number) + bytes(length - length // 2)
        states.append(bytes(after))
    names = ["a.v", "b.v", "c.v"]
    rows = [extents_of((0, 131072)), extents_of((65536, 262144))]
    for number in (0, 1):
        with (tmp_path / f"{number}.rbd-diff").open("wb") as file:
            rbd_diff.export_diff(
                reader_of(states[number + 1]), rows[number], size, *names[number : number + 2], file
            )
    subprocess.run(
        ["rbd", "merge-diff", "0.rbd-diff", "1.rbd-diff", "merged.rbd-diff", "--no-progress"],
        cwd=tmp_path,
        check=True,
    )
    image = image_holding(tmp_path / "v.img", states[0])
    with (tmp_path / "merged.rbd-diff").open("rb") as file:
        rbd_diff.import_diff(file, image)
    assert image.read_bytes() == states[2]
    assert image_base.load(image).holds == "c.v"
