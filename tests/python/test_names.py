"""Names, labels, sizes, rates, times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exshadow import names
from exshadow.errors import InvalidError


@pytest.mark.parametrize("text", ["a", "A9", "db.img", "x-y_z", "0", "a" * 64])
def test_legal_names(text):
    assert names.check_name(text) == text


@pytest.mark.parametrize("text", ["", ".a", "-a", "_a", "a/b", "a b", "a@b", "ä", "a\n", "a" * 65])
def test_illegal_names(text):
    with pytest.raises(InvalidError):
        names.check_name(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("64K", 65536),
        ("64k", 65536),
        ("1M", 1 << 20),
        ("1.5G", 3 << 29),
        ("16T", 16 << 40),
        ("4KiB", 4096),
        ("4KB", 4096),
    ],
)
def test_sizes_are_powers_of_1024(text, size):
    assert names.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "K", "-1", "1X", "1 0", "0x10", "1e3", "nan", "9999999T", "9" * 5000]
)
def test_bad_sizes(text):
    with pytest.raises(InvalidError):
        names.parse_size(text)


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90m", 5400), (" 2h ", 7200)])
def test_durations(text, seconds):
    assert names.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "s", "0s", "-1s", "1.5s", "1y", "9" * 5000 + "s", "366d"]
)
def test_bad_durations(text):
    with pytest.raises(InvalidError):
        names.parse_duration(text)


def test_rates():
    assert names.parse_rate("100M") == names.parse_rate("100M/s") == 100 << 20
    with pytest.raises(InvalidError):
        names.parse_rate("0")


@given(st.integers(0, 1 << 62))
def test_a_number_of_bytes_is_itself(size):
    assert names.parse_size(str(size)) == size
    assert names.format_size(size)


def test_sizes_for_people():
    assert names.format_size(1023) == "1023 B"
    assert names.format_size(1536) == "1.5 KiB"
    assert names.format_size(16 << 40) == "16.0 TiB"


def test_times_are_rfc_3339_utc():
    assert names.parse_until("2030-01-31") == "2030-01-31T00:00:00Z"
    assert names.parse_until("2030-01-31T12:00:00+02:00") == "2030-01-31T10:00:00Z"
    assert names.parse_until("Forever") == "forever"
    soon = names.parse_time(names.parse_until("90m")) - datetime.now(UTC)
    assert timedelta(minutes=89) < soon <= timedelta(minutes=90)
    beyond = "9999-12-31T23:59:59-12:00"  # in UTC no year has that number
    for bad in ("", "tomorrow", "2030-13-01", "5y", "99999999999w", beyond):
        with pytest.raises(InvalidError):
            names.parse_until(bad)


def test_a_pin_that_cannot_be_read_holds():
    assert not names.is_pinned(None)
    assert names.is_pinned("forever")
    assert names.is_pinned("2999-01-01T00:00:00Z")
    assert not names.is_pinned("2000-01-01T00:00:00Z")
    assert names.is_pinned("rubbish")


def test_time_labels_are_labels():
    assert names.check_name(names.time_label())
