"""Leases: one holder at a time, by the database's clock, over kills, stops and lost servers."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path

import pytest
from catalog_server import new_database
from conftest import MIB
from test_catalog import SET, fill, place  # noqa: F401

from exshadow.catalog import open_catalog
from exshadow.catalog.leases import Leases, LostLeaseError
from exshadow.errors import BusyError, Error
from exshadow.service.keeper import Keeper

SECONDS = 0.6


@pytest.fixture
def file(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(place):  # noqa: F811
    with closing(open_catalog(*place).catalog) as opened:
        yield opened


def test_a_second_holder_is_refused_and_told_who_has_it(catalog):
    Leases(catalog, "host one", SECONDS).acquire("v", "backup")
    with pytest.raises(BusyError, match=r"held by host one \(backup\)") as caught:
        Leases(catalog, "host two", SECONDS).acquire("v")
    assert caught.value.exit_status == 8
    assert Leases(catalog, "host two", SECONDS).acquire("w").token == 1


def test_a_lease_that_ended_goes_to_the_next_with_a_higher_token(catalog):
    first = Leases(catalog, "one", SECONDS)
    old = first.acquire("v")
    assert first.acquire("v").token == old.token  # again is the same
    time.sleep(SECONDS + 0.1)
    second = Leases(catalog, "two", SECONDS)
    new = second.acquire("v")
    assert new.token == old.token + 1
    with pytest.raises(LostLeaseError, match="held by two now"):
        first.renew([old])
    first.release([old])  # changes nothing of the other's
    assert second.holders()["v"].holder == "two"


def test_one_that_was_given_back_is_free_at_once(catalog):
    first = Leases(catalog, "one", 60)
    first.release([first.acquire("v")])
    assert Leases(catalog, "two", 60).acquire("v").token == 2


def test_what_is_written_under_a_lost_lease_is_refused(catalog):
    fill(catalog)
    leases = Leases(catalog, "one", SECONDS)
    held = [leases.acquire("v")]
    catalog.fence = lambda connection: leases.fence(connection, held)
    catalog.change_set(SET.id, state="resyncing")
    time.sleep(SECONDS + 0.1)
    with pytest.raises(LostLeaseError, match="not renewed in time"):
        catalog.change_set(SET.id, state="dissolved")
    assert catalog.sets()[0].state == "resyncing"


def test_a_keeper_renews_and_gives_back(catalog):
    keeper = Keeper(catalog, seconds=SECONDS)
    keeper.hold("v")
    time.sleep(3 * SECONDS)
    keeper.check()
    with pytest.raises(BusyError):
        Leases(catalog, "two", SECONDS).acquire("v")
    keeper.close()
    assert Leases(catalog, "two", SECONDS).acquire("v")


def test_a_keeper_that_lost_a_lease_says_so_once(catalog):
    heard = []
    keeper = Keeper(catalog, heard.append, seconds=SECONDS)
    lease = keeper.hold("v")
    Leases(catalog, lease.holder, SECONDS).release([lease])
    Leases(catalog, "thief", SECONDS).acquire("v")
    time.sleep(2 * SECONDS)
    assert len(heard) == 1
    with pytest.raises(LostLeaseError):
        keeper.check()
    keeper.close()


def test_a_lease_that_is_given_back_while_others_are_renewed_is_not_lost(catalog, monkeypatch):
    heard = []
    keeper = Keeper(catalog, heard.append, seconds=60)
    keeper.hold("v")
    keeper.hold("w")
    renew, check = Leases.renew, Leases.fence

    def meanwhile(self, leases):
        keeper.let_go("v")
        return renew(self, leases)

    def again(self, connection, leases):
        keeper.let_go("w")
        return check(self, connection, leases)

    monkeypatch.setattr(Leases, "renew", meanwhile)
    assert keeper._renewed()
    assert heard == []
    assert keeper.holds("w")
    monkeypatch.setattr(Leases, "fence", again)
    with catalog.engine.connect() as connection:
        keeper.fence(connection)
    keeper.close()


def test_a_keeper_stops_in_time_when_the_catalog_is_gone(catalog, monkeypatch):
    heard = []
    keeper = Keeper(catalog, lambda problem: heard.append(time.monotonic()), seconds=SECONDS)

    def gone(self, leases):
        raise Error("the server is away")

    begun = time.monotonic()
    keeper.hold("v")
    monkeypatch.setattr(Leases, "renew", gone)
    time.sleep(1.5 * SECONDS)
    assert len(heard) == 1
    assert heard[0] - begun < SECONDS  # before anybody else could have it
    keeper.close()


def hosts(url: str, log: Path, seconds: float, number: int):
    """Starts host number n."""
    paths = os.environ.get("PYTHONPATH", "")
    child = str(Path(__file__).with_name("lease_child.py"))
    words = [sys.executable, child, url, str(log), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": paths}
    return [
        lambda seed=seed: subprocess.Popen([*words, str(seed)], env=environment)
        for seed in range(number)
    ]


def one_holder_at_all_times(catalog_server, tmp_path, *, rounds: int, holders: int) -> None:
    """Three hosts, one killed or stopped for longer than a lease, at random: so many rounds, and
    more on a slow machine, until the lease went through more than so many hands."""
    dice = random.Random(7)
    seconds = 0.5
    url = new_database(catalog_server)
    open_catalog(tmp_path / "none", url).catalog.close()
    log = tmp_path / "log"
    start = hosts(url, log, seconds, 3)
    running = [one() for one in start]
    try:
        time.sleep(1)
        for turn in count():
            if turn >= rounds and len(moments_of(log)[1]) > holders:
                break
            assert turn < 10 * rounds, "the lease hardly ever changes hands"
            time.sleep(dice.uniform(0.1, 0.8))
            number = dice.randrange(3)
            if dice.random() < 0.5:
                running[number].kill()
                running[number].wait()
                running[number] = start[number]()
            else:
                running[number].send_signal(signal.SIGSTOP)
                time.sleep(dice.uniform(0.1, 2.5 * seconds))
                running[number].send_signal(signal.SIGCONT)
        assert all(one.poll() is None for one in running)
    finally:
        for one in running:
            one.kill()
            one.wait()
    moments, _ = moments_of(log)
    for (_, earlier, _), (_, later, _) in pairwise(moments):
        assert later >= earlier, "two had it at once"
    owners = {token: process for _, token, process in moments}
    assert all(owners[token] == process for _, token, process in moments)


def moments_of(log: Path) -> tuple[list[tuple[int, ...]], set[int]]:
    """Each moment somebody held it: (time, token, process); and the tokens there were."""
    lines = log.read_text().splitlines() if log.exists() else []
    moments = sorted(tuple(map(int, line.split())) for line in lines if line.count(" ") == 2)
    return moments, {token for _, token, _ in moments}


def test_three_hosts_one_killed_or_stopped_at_random(catalog_server, tmp_path):
    one_holder_at_all_times(catalog_server, tmp_path, rounds=12, holders=5)


@pytest.mark.soak
def test_three_hosts_for_long(catalog_server, tmp_path):
    one_holder_at_all_times(catalog_server, tmp_path, rounds=300, holders=100)


def test_a_command_holds_its_volumes_in_a_shared_catalog(catalog_server, tmp_path, cli):
    """Of two hosts with the same volume only one works on it; the other says who."""
    url = new_database(catalog_server)
    image = tmp_path / "db.img"
    image.write_bytes(bytes(MIB))
    cli.environment["EXSHADOW_CATALOG"] = url
    cli("volume", "add", "db", image)
    cli("mirror", "add", "db", tmp_path / "m2.img")
    uuid = cli.json("volume", "show", "db")["volume"]["uuid"]
    with closing(open_catalog(tmp_path / "none", url).catalog) as catalog:
        other = Leases(catalog, "the other host", 60)
        held = other.acquire(uuid, "resync")
        refused = cli.error(8, "snapshot", "create", "db")
        assert "the other host (resync)" in refused["message"]
        other.release([held])
        cli("snapshot", "create", "db", "--label", "noon")
        assert other.holders() == {}
    assert [one["label"] for one in cli.json("snapshot", "list")["sets"]] == ["noon"]
