"""Leases of volumes that other products copy: by what a volume is, not by what a host calls it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from catalog_server import new_database
from provider_bed_eva import EvaBed
from provider_bed_native import NativeBed
from provider_bed_sfw import SfwBed
from provider_bed_vss import VssBed

from exshadow.catalog import Catalog, open_catalog
from exshadow.catalog.journal import CatalogJournal
from exshadow.catalog.leases import Leases, LostLeaseError
from exshadow.errors import BusyError
from exshadow.providers.contract import Provider, Source
from exshadow.service.desk import Desk
from exshadow.service.keeper import Keeper, holding
from exshadow.service.local import LocalService
from exshadow.service.policy_run.leasing import lease_name, leased
from exshadow.service.policy_run.opening import builder
from exshadow.service.policy_run.room import Room
from exshadow.service.state import StateFolder

Host = Callable[[Provider, tuple[Source, ...]], None]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(open_catalog(tmp_path / "catalog.sqlite").catalog) as opened:
        yield opened


@pytest.fixture
def another_host(catalog: Catalog) -> Iterator[Host]:
    """Takes the volumes' leases as a host of its own and has them until the test ends."""
    with ExitStack() as stack:

        def takes(provider: Provider, volumes: tuple[Source, ...]) -> None:
            keeper = Keeper(catalog)
            stack.callback(keeper.close)
            stack.enter_context(leased(keeper, provider, volumes, "run of mail"))

        yield takes


def eva_host(bed: EvaBed, folder: Path, names: dict[str, str]) -> Provider:
    """The same array as a host with these device names sees it."""
    for name, device in names.items():
        node = folder / "sys" / "block" / device / "device"
        node.mkdir(parents=True)
        (node / "wwid").write_text(f"naa.{bed.wwns[name]}\n")
    return bed.provider(sysfs=str(folder / "sys"), devices=str(folder / "dev"))


def test_hosts_with_other_paths_to_a_vdisk_exclude_each_other(
    tmp_path: Path, another_host: Host
) -> None:
    bed = EvaBed(tmp_path)
    other = eva_host(bed, tmp_path / "other", {"logs": "sdx", "db": "sdy"})
    by_other = tuple(
        replace(one, path=f"{tmp_path}/other/dev/{'sdy' if one.name == 'db' else 'sdx'}")
        for one in bed.sources
    )
    another_host(bed.provider(), bed.sources[:1])
    with pytest.raises(BusyError, match="run of mail"):
        another_host(other, by_other)
    another_host(other, by_other[1:])  # logs is nobody's


def test_another_vdisk_at_the_same_path_is_another_volume(
    tmp_path: Path, another_host: Host
) -> None:
    bed = EvaBed(tmp_path)
    swapped = eva_host(bed, tmp_path / "other", {"logs": "sda", "db": "sdb"})
    db = bed.sources[0]
    another_host(bed.provider(), (db,))
    another_host(swapped, (replace(db, path=f"{tmp_path}/other/dev/sda"),))


def test_the_same_letter_on_two_hosts_is_two_volumes_unless_they_are_a_cluster(
    tmp_path: Path, another_host: Host
) -> None:
    bed = SfwBed(tmp_path)
    another_host(bed.provider(host="HOST1"), bed.sources)
    another_host(bed.provider(host="HOST2"), bed.sources)
    another_host(bed.provider(host="NODE1", hosts="NODE2"), bed.sources)
    by_name = tuple(replace(one, path=bed.other_paths[one.name]) for one in bed.sources)
    with pytest.raises(BusyError):
        another_host(bed.provider(host="NODE2", hosts="NODE1"), by_name)


def test_where_nobody_knows_the_volume_it_is_host_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_host: Host
) -> None:
    bed = VssBed(tmp_path)
    provider = bed.provider()
    try:
        another_host(provider, bed.sources)
        with pytest.raises(BusyError):
            another_host(provider, bed.sources)
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        another_host(provider, bed.sources)
        guid = "2b1c5f0e-95d5-4a2f-8f61-6a5f5b0f7a11"
        names = {
            lease_name(provider, Source("db", f"\\\\?\\Volume{{{one}}}{end}", 1))
            for one, end in ((guid, "\\"), (guid.upper(), ""))
        }
        assert names == {f"vss:{guid}"}
    finally:
        bed.close()


def test_the_native_engines_volumes_are_held_by_who_opens_them(
    tmp_path: Path, catalog: Catalog, another_host: Host
) -> None:
    bed = NativeBed(tmp_path)
    try:
        another_host(bed.provider(), bed.sources)
        assert Leases(catalog, "me").holders() == {}
    finally:
        bed.close()


def test_long_names_stay_apart(tmp_path: Path) -> None:
    bed = VssBed(tmp_path)
    provider = bed.provider()
    try:
        names = {lease_name(provider, Source("db", "/a" * 200 + end, 1)) for end in "xy"}
        assert len(names) == 2
        assert all(len(one) <= 255 for one in names)
    finally:
        bed.close()


def test_what_was_held_before_stays_held(tmp_path: Path, catalog: Catalog) -> None:
    bed = SfwBed(tmp_path)
    keeper = Keeper(catalog)
    try:
        with leased(keeper, bed.provider(), bed.sources[:1], ""):
            with leased(keeper, bed.provider(), bed.sources, ""):
                assert len(Leases(catalog, "me").holders()) == 2
            assert len(Leases(catalog, "me").holders()) == 1
        assert Leases(catalog, "me").holders() == {}
    finally:
        keeper.close()


def test_a_fence_within_another_asks_both_and_leaves_the_first(catalog: Catalog) -> None:
    outer, inner, last = Keeper(catalog), Keeper(catalog), Keeper(catalog)
    with ExitStack() as around:
        around.enter_context(holding(outer, catalog))
        fence = catalog.fence
        lease = outer.hold("v")
        with holding(inner, catalog):
            inner.hold("w")
            catalog.change_set("none", state="failed")
        assert catalog.fence is fence
        Leases(catalog, lease.holder).release([lease])
        with pytest.raises(LostLeaseError, match="volume v was"), holding(last, catalog):
            catalog.change_set("none", state="failed")
        assert catalog.fence is fence
    assert catalog.fence is None


@contextmanager
def run_of_a_host(
    url: str, state: Path, provider: Provider, volumes: tuple[Source, ...]
) -> Iterator[None]:
    """Inside a run of the group as a host with this state folder has it."""
    with closing(Desk(StateFolder(state, url))) as desk:
        service = LocalService(desk)
        journal = CatalogJournal(desk.catalog, "run")
        room = Room("mail", volumes, provider, builder(service), service, desk, journal)
        with room.alone():
            yield


def test_runs_of_two_hosts_with_one_vdisk_exclude_each_other(
    tmp_path: Path, catalog_server: Any
) -> None:
    bed = EvaBed(tmp_path)
    url = new_database(catalog_server)
    mine, other = bed.provider(), eva_host(bed, tmp_path / "other", {"db": "sdy"})
    db = bed.sources[0]
    by_other = (replace(db, path=f"{tmp_path}/other/dev/sdy"),)
    with run_of_a_host(url, tmp_path / "here", mine, bed.sources):
        there = run_of_a_host(url, tmp_path / "there", other, by_other)
        with pytest.raises(BusyError, match="run of mail"), there:
            raise AssertionError("both had it")
    with run_of_a_host(url, tmp_path / "there", other, by_other):
        pass
