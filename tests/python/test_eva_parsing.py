"""What SSSU prints is read as it is meant, whatever else is printed in between."""

from __future__ import annotations

import contextlib
import importlib.resources
import tomllib
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import tostring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exshadow.errors import Error, ProviderError
from exshadow.providers.eva import names, parsing
from exshadow.providers.eva.devices import Devices, page_83
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Form, MirrorPhase, vdisk
from exshadow.providers.eva.rules import Operation, rule
from exshadow.providers.templates import load

# The shape of the fact sheet, section 2.4, shortened.
SNAPSHOT = r"""\Virtual Disks\Mail\SG1_DB\SG1_DB_snap information:
<object>
  <objectid>0A</objectid>
  <objectname>\Virtual Disks\Mail\SG1_DB\SG1_DB_snap</objectname>
  <creationdatetime>17-Jan-2007 03:24:36</creationdatetime>
  <wwlunid>6005-08b4-0001-0002-0003-0004-0005-0006</wwlunid>
  <operationalstate>good</operationalstate>
  <allocatedcapacityblocks>0</allocatedcapacityblocks>
  <virtualdisktype>demand_allocated_snapshot</virtualdisktype>
  <requestedcapacity>2</requestedcapacity>
  <sharingrelationship>snapshot</sharingrelationship>
  <sharinginformation>
    <parentvdiskname>\Virtual Disks\Mail\SG1_DB</parentvdiskname><childvdiskid>n/a</childvdiskid>
  </sharinginformation>
  <redundancy>vraid5</redundancy>
  <writecacheactual>writeback</writecacheactual><writecache>writethrough</writecache>
  <presentations>
    <presentation><lunnumber>7</lunnumber><hostname>\Hosts\Mail\backup</hostname></presentation>
  </presentations>
  <diskgroupname>\Disk Groups\dg1</diskgroupname>
</object>
"""


def test_a_record_is_read_as_the_fact_sheet_means_it() -> None:
    [record] = parsing.objects(f"LS SNAPSHOT FULL XML\n{SNAPSHOT}Status : 0\n")
    one = vdisk(record, load("eva", "6"))
    assert (one.name, one.form, one.good) == ("SG1_DB_snap", Form.DEMAND, True)
    assert one.wwn == "600508b4000100020003000400050006"
    assert one.cache == ("writethrough", "writeback")
    assert one.size == 2 << 30
    assert one.parent == "\\Virtual Disks\\Mail\\SG1_DB"
    assert [(lun.host, lun.number) for lun in one.presentations] == [("\\Hosts\\Mail\\backup", 7)]
    assert one.created == datetime(2007, 1, 17, 3, 24, 36)
    assert one.phase is MirrorPhase.UNKNOWN


NOISE = st.sampled_from(
    ["EVA1> ", "\x01", "\x01\x02", "SSSU for HP StorageWorks Command View EVA", "Version: 6.0.2",
     "\\Virtual Disks\\<Mail>\\x information:", "", "Status : 0", "NoSystemSelected> LS VDISK"]
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 60), NOISE), max_size=12), st.integers(1, 3))
def test_noise_between_the_lines_changes_nothing(noise: list[tuple[int, str]], count: int) -> None:
    lines = (SNAPSHOT * count).splitlines()
    for at, word in sorted(noise, reverse=True):
        lines.insert(min(at, len(lines)), word)
    clean = [tostring(one) for one in parsing.objects(SNAPSHOT * count)]
    assert [_flat(tostring(one)) for one in parsing.objects("\r\n".join(lines))] == [
        _flat(one) for one in clean
    ]


def _flat(text: bytes) -> bytes:
    return b"".join(text.split())


@given(st.data())
@settings(max_examples=200)
def test_damaged_listings_are_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    text = SNAPSHOT * 2
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        piece = data.draw(
            st.one_of(st.text(max_size=8), st.sampled_from(["<object>", "</", "&x;"]))
        )
        text = text[:at] + piece + text[end:]
    with contextlib.suppress(ProviderError):  # anything else fails the test
        for record in parsing.objects(text):
            vdisk(record, load_once())


def load_once(book: list = []):  # noqa: B006
    return book[0] if book else book.append(load("eva", "6")) or book[0]


@pytest.mark.parametrize("cut", range(40, len(SNAPSHOT) - 1, 37))
def test_a_listing_that_ends_early_is_never_taken_for_a_shorter_one(cut: int) -> None:
    whole = SNAPSHOT * 2
    text = whole[: len(SNAPSHOT) + cut]
    if "<object>" in text[len(SNAPSHOT) :]:
        with pytest.raises(ProviderError):
            parsing.objects(text)


def test_entities_and_document_types_are_refused() -> None:
    bomb = "<object>\n<!DOCTYPE x [<!ENTITY a 'b'>]>\n<objectname>&a;</objectname>\n</object>"
    with pytest.raises(ProviderError):
        parsing.objects(bomb)
    deep = "<object>\n" + "<a>\n" * 5000 + "</a>\n" * 5000 + "</object>"
    with pytest.raises(ProviderError, match="deep"):
        parsing.objects(deep)


def test_a_listing_beyond_all_measure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "LIMIT", 100)
    with pytest.raises(ProviderError, match="more than"):
        parsing.objects(SNAPSHOT)


def test_an_ampersand_in_a_name_is_only_an_ampersand() -> None:
    text = "<object>\n<objectname>\\Virtual Disks\\R&D &amp; Q&x;</objectname>\n</object>\n"
    [record] = parsing.objects(text)
    assert parsing.value(record, "objectname") == "\\Virtual Disks\\R&D & Q&x;"


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@pytest.mark.parametrize("month", range(1, 13))
def test_months_are_english_in_every_locale(month: int) -> None:
    found = parsing.moment(f"03-{MONTHS[month - 1]}-2009 23:59:59")
    assert found == datetime(2009, month, 3, 23, 59, 59)
    assert found.tzinfo is None  # the array does not tell its zone, so none is made up


@given(st.one_of(st.text(max_size=40), st.from_regex(r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d")))
def test_what_is_no_time_is_none(text: str) -> None:
    found = parsing.moment(text)
    assert found is None or 1 <= found.month <= 12
    assert parsing.moment("17-Mai-2007 03:24:36") is None


def test_the_text_form_keeps_blocks_apart() -> None:
    text = (
        "objectname ......................: \\Virtual Disks\\Mail\\DB\\ACTIVE\n"
        "presentations ...................: \n"
        "  hostname ......................: \\Hosts\\a\n"
        "  hostname ......................: \\Hosts\\b\n"
        "comments ........................: a : b ..: c\n"
    )
    assert parsing.details(text) == {
        "objectname": "\\Virtual Disks\\Mail\\DB\\ACTIVE",
        "presentations": "",
        "presentations.hostname": "\\Hosts\\a",
        "presentations.hostname 2": "\\Hosts\\b",
        "comments": "a : b ..: c",
    }
    assert parsing.paths("Vdisks available on this Cell:\n  \\Virtual Disks\\x\n") == (
        "\\Virtual Disks\\x",
    )


@given(st.text(max_size=300))
def test_any_text_has_some_details(text: str) -> None:
    parsing.details(text)
    parsing.paths(text)


LABELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,7}", fullmatch=True)


@given(st.text(max_size=20), st.text(max_size=70), LABELS, st.sampled_from(Role), st.text())
def test_names_of_copies_fit_and_tell_what_they_were_made_of(
    group: str, volume: str, mirror: str, role: Role, set_id: str
) -> None:
    made = names.copy_name(group, volume, "600508b4" + "0" * 24, mirror, role, set_id)
    assert names.parse(str(made)) == made
    marked = made.marked("an action")
    if set_id:
        assert names.parse(str(marked)) == marked
    assert len(str(marked)) <= names.LONGEST


@given(st.binary(max_size=64))
def test_any_page_83_has_an_id_or_none(page: bytes) -> None:
    assert len(page_83(b"\x00\x83" + page)) in (0, 32)


def test_devices_are_found_by_wwid_page_or_multipath(tmp_path: Path) -> None:
    wwn = "600508b4000100020003000400050006"
    for node in ("sda", "sdb", "sdc", "dm-0"):
        (tmp_path / "sys/block" / node / "device").mkdir(parents=True)
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / node).touch()
    page = b"\x00\x83\x00\x1c\x01\x00\x00\x04abcd\x01\x03\x00\x10" + bytes.fromhex(wwn)
    (tmp_path / "sys/block/sda/device/vpd_pg83").write_bytes(page)
    (tmp_path / "sys/block/sdb/device/wwid").write_text(f"naa.{wwn}\n")
    (tmp_path / "sys/block/dm-0/dm").mkdir()
    (tmp_path / "sys/block/dm-0/dm/uuid").write_text(f"mpath-3{wwn}\n")
    (tmp_path / "sys/block/dm-0/dm/name").write_text("mail\n")
    devices = Devices(str(tmp_path / "sys"), str(tmp_path / "dev"), str(tmp_path / "mounts"))
    (tmp_path / "dev/by-id").symlink_to("sdb")
    for name in ("sda", "sdb", "dm-0", "by-id"):
        assert devices.id_of(str(tmp_path / "dev" / name)) == wwn
    assert devices.id_of("6005-08B4-0001-0002-0003-0004-0005-0006") == wwn
    assert devices.path_of(wwn) == str(tmp_path / "dev/mapper/mail")
    with pytest.raises(Error, match="no page-83"):
        devices.id_of(str(tmp_path / "dev/sdc"))


def test_the_mirrorclone_table_is_that_of_the_guide() -> None:
    allowed = {
        phase: {one for one in Operation if rule(one, phase).allowed} for phase in MirrorPhase
    }
    assert allowed[MirrorPhase.SYNCHRONISED] == {Operation.FRACTURE, Operation.MIGRATE}
    assert allowed[MirrorPhase.FRACTURED] == {
        Operation.RESYNC, Operation.RESTORE, Operation.DETACH, Operation.PRESENT,
        Operation.SNAPSHOT,
    }  # fmt: skip
    needs = {one for one in Operation if rule(one, MirrorPhase.FRACTURED).unpresented}
    assert needs == {Operation.RESYNC, Operation.RESTORE}
    for phase in (MirrorPhase.SYNCING, MirrorPhase.RESTORING, MirrorPhase.UNKNOWN):
        assert not allowed[phase]


def test_every_entry_of_the_data_says_where_it_comes_from() -> None:
    data = importlib.resources.files("exshadow.providers") / "data" / "eva-6.toml"
    plain = tomllib.loads(data.read_text())
    entries = [one for kind in ("command", "pattern", "meaning") for one in plain[kind].values()]
    assert all(one["sure"] in ("confirmed", "unconfirmed") and one["source"] for one in entries)
    guessed = {name for name, one in plain["command"].items() if one["sure"] != "confirmed"}
    assert {"fracture", "resync", "restore", "detach", "add_copy", "rename"} <= guessed


def test_a_value_cannot_end_the_quotes_round_it() -> None:
    book = load("eva", "6")
    for bad in ('a" DELETE VDISK "b', "a\nDELETE", "a\x00"):
        with pytest.raises(Error, match="misread"):
            book.line("delete_vdisk", {"vdisk": bad})
