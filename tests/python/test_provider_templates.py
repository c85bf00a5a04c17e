"""Command texts are data: filled safely, corrected by a file that is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from exshadow.errors import InvalidError, NotFoundError
from exshadow.providers import registry
from exshadow.providers.templates import Book, Sure, load, versions

SHIPPED = [(name, version) for name in ("sfw", "eva") for version in versions(name)]


def book(**command: object) -> Book:
    entry = {"sure": "confirmed", "source": "here", **command}
    return Book.model_validate({"product": "x", "forbidden": r'[\s"]', "command": {"it": entry}})


def overlay(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_parts_in_brackets_fall_away_without_their_value() -> None:
    one = book(text="p [-b] make {name} [size={size}] [-o {how}]")
    assert one.words("it", {"name": "v"}) == ["p", "-b", "make", "v"]
    assert one.words("it", {"name": "v", "size": "1", "how": "x"}) == [
        "p", "-b", "make", "v", "size=1", "-o", "x",
    ]  # fmt: skip


def test_a_list_is_one_word_for_each_item() -> None:
    one = book(text="p {items...} end", each={"items": "a={a}[/b={b}]"})
    items = [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]
    assert one.words("it", {"items": items}) == ["p", "a=1/b=2", "a=3", "end"]
    assert one.line("it", {"items": []}) == "p end"


@pytest.mark.parametrize("value", ["a b", 'a"b', "a\nb", "a\0b", ""])
def test_a_value_that_could_be_read_otherwise_is_refused(value: str) -> None:
    with pytest.raises(InvalidError):
        book(text="p {name}").words("it", {"name": value})


def test_a_value_that_is_free_may_have_spaces_but_no_control_characters() -> None:
    one = book(text="p {name}", free=["name"])
    assert one.words("it", {"name": "a b"}) == ["p", "a b"]
    with pytest.raises(InvalidError):
        one.words("it", {"name": "a\nb"})


@pytest.mark.parametrize(("product", "version"), SHIPPED)
def test_every_entry_that_comes_with_it_says_how_sure_it_is_and_whence(
    product: str, version: str
) -> None:
    found = load(product, version)
    assert found.version == version
    for entries in (found.command, found.pattern, found.meaning, found.bound):
        for name, entry in entries.items():  # type: ignore[attr-defined]
            assert entry.sure in Sure, name
            assert entry.source != "the administrator's file", name


@pytest.mark.parametrize(("product", "version"), SHIPPED)
def test_values_in_lists_and_free_values_are_values_of_the_text(product: str, version: str) -> None:
    for name, command in load(product, version).command.items():
        listed = [word for word in command.each if f"{{{word}...}}" not in command.text]
        assert not listed, name
        assert command.free <= command.values, name


def test_an_older_version_says_only_what_differs() -> None:
    old, new = load("sfw", "5.1"), load("sfw", "7.3")
    values = {"group": "G", "volume": "v", "disks": [{"disk": "Harddisk3"}]}
    assert old.words("prepare", values) == ["vxassist", "-b", "-gG", "snapstart", "v", "Harddisk3"]
    assert new.words("prepare", values) == ["vxassist", "-b", "-gG", "prepare", "v", "Harddisk3"]
    assert old.command["snapback"] == new.command["snapback"]


def test_an_administrators_file_replaces_single_entries(tmp_path: Path) -> None:
    path = overlay(
        tmp_path,
        '[command.snapclear]\ntext = "vxassist -f -g{group} snapclear {volume}"\n'
        'sure = "confirmed"\n[meaning.plex]\nwords = { Bereit = "ready" }\nsure = "confirmed"\n',
    )
    mine = load("sfw", "7.3", path)
    assert mine.words("snapclear", {"group": "G", "volume": "v"})[1] == "-f"
    assert mine.sure("snapclear") is Sure.CONFIRMED
    assert mine.mean("plex", "bereit") == "ready"
    assert mine.words("rescan", {}) == ["vxassist", "rescan"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[command.snapclaer]\ntext = "x"\nsure = "confirmed"', "there is none; there are"),
        ('[command.snapclear]\ntext = "x {volum}"\nsure = "confirmed"', "no value volum"),
        (
            '[command.create]\ntext = "vxsnap -x {xml} {sources...}"\nsure = "confirmed"',
            "each.sources is missing",
        ),
        (
            '[command.snapclear]\ntext = "vxassist snapclear {volume}"\nsure = "confirmed"',
            "command.snapclear: lacks the value group",
        ),
        (
            '[command.create]\ntext = "vxsnap create {sources...}"\nsure = "confirmed"\n'
            'each.sources = "source={path}"',
            "lacks the value newvol, xml",
        ),
        ('[command.snapclear]\ntext = "x"', "command.snapclear.sure: Field required"),
        ('[command.snapclear]\ntext = "x"\nsure = "yes"', "confirmed"),
        ('[command.snapclear]\ntext = "x"\nsure = "confirmed"\nlimt = 3', "limt"),
        ('[pattern.plex]\nregex = "("\nsure = "confirmed"', "no regular expression"),
        ('[pattern.plex]\nregex = "(?P<name>x)"\nsure = "confirmed"', "lacks the group"),
        ('[meaning.plex]\nwords = { A = "redy" }\nsure = "confirmed"', "no word 'redy'"),
        ('version = "9"', "version 9"),
        ('product = "eva"', "it is for eva"),
        ('[bound.x]\nmodels = "H"\nmost = 1\nsure = "confirmed"', "bound.x: there is none"),
        ("forbidden = = 1", "TOML"),
        ("forbidden = '[x]'", "cannot be changed"),
    ],
)
def test_a_fault_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(InvalidError) as caught:
        load("sfw", "7.3", path)
    assert str(path) in caught.value.message
    assert said in caught.value.message + caught.value.hint


TABLE = {0.94: 16, 1.0: 15, 1.07: 14, 1.15: 13, 1.25: 12, 1.36: 11, 1.5: 10, 1.67: 9, 1.88: 8,
         2.0: 7, 3.0: 5, 14.0: 1, 15.1: 0}  # fmt: skip


def test_the_arrays_table_of_sizes_is_that_of_the_guide() -> None:
    """Beyond its last row all copies of a source together have 15 TB."""
    found = load("eva", "6").bound_of("HSV210")
    assert found is not None
    name, bound = found
    assert (name, bound.sure) == ("snapshots_xcs", Sure.CONFIRMED)
    assert {size: bound.count(int(size * (1 << 40))) for size in TABLE} == TABLE
    assert bound.count(1 << 30) == 16
    old = load("eva", "6").bound_of("hsv110")
    assert old is not None
    assert (old[1].most, old[1].sure) == (7, Sure.UNCONFIRMED)
    assert load("eva", "6").bound_of("HSV999") is None


def test_a_file_or_version_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot read"):
        load("sfw", "7.3", tmp_path / "none.toml")
    with pytest.raises(InvalidError) as caught:
        load("sfw", "1.0")
    assert "7.3" in caught.value.hint


def test_a_provider_is_built_by_its_name() -> None:
    assert registry.build("sfw", {"mirrors": "m1=Harddisk3"}).name == "sfw"
    with pytest.raises(NotFoundError, match="no provider emc"):
        registry.build("emc", {})


def test_mirrors_of_different_volumes_may_share_a_disk() -> None:
    mirrors = "m1=Harddisk3 m1/db=Harddisk4 m2=Harddisk4 m2/db=Harddisk3"
    assert registry.build("sfw", {"mirrors": mirrors}).name == "sfw"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"miror": "m1=Harddisk3"}, "no setting 'miror'"),
        ({"mirrors": "m1"}, "says no place"),
        ({"mirrors": "m1=plex:db-02"}, "a plex belongs to one volume"),
        ({"mirrors": "m1=Harddisk3 m1=Harddisk4"}, "two places"),
        ({"mirrors": "m1=Harddisk3 m2=Harddisk3,Harddisk4"}, "m1 and m2 share Harddisk3"),
        ({"mirrors": "m1=Harddisk3 m2=Harddisk4 m2/db=Harddisk3"}, "of db share Harddisk3"),
        ({"mirrors": "m1/db=plex:p m2/db=plex:p"}, "of db share p"),
        ({"letters": "PQ"}, "no drive letter"),
    ],
)
def test_wrong_settings_of_storage_foundation_are_told(settings: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        registry.build("sfw", settings)
