"""Ctrl-C and close() are heard while a provider hangs in a call that is no asynchronous step."""

import signal
import threading

import pytest
from vss_writers import OneVolume

from exshadow import vss

STATE = vss.BackupState(select_components=False)
REQUEST = vss.BackupRequest(volumes=["data"], state=STATE, retry=vss.RetryLimits(tries=1))
HANGING = ["is_volume_supported", "begin_prepare_snapshot"]


class Hanging(OneVolume):
    """Hangs in one call; `on_hang` runs there first, once."""

    def __init__(self, where, on_hang):
        super().__init__()
        self.where, self.on_hang = where, on_hang
        self.released = threading.Event()
        self.returned = False

    def _hang(self, where):
        if where == self.where and self.on_hang is not None:
            act, self.on_hang = self.on_hang, None
            act()
            self.released.wait(30)
            self.returned = True

    def is_volume_supported(self, volume, context):
        self._hang("is_volume_supported")
        return super().is_volume_supported(volume, context)

    def begin_prepare_snapshot(self, request):
        self._hang("begin_prepare_snapshot")
        super().begin_prepare_snapshot(request)


def press_ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.fixture
def hanging(tmp_path):
    """Gives a coordinator with a provider that hangs as told."""
    made = []

    def make(where, on_hang=press_ctrl_c):
        provider = Hanging(where, on_hang)
        coordinator = vss.Coordinator(slot=tmp_path / "slot")
        coordinator.register_provider(provider)
        made.append((coordinator, provider))
        return coordinator, provider

    yield make
    for coordinator, provider in made:
        provider.released.set()
        coordinator.close()


@pytest.mark.parametrize("where", HANGING)
def test_ctrl_c_ends_a_backup_whose_provider_hangs(hanging, where):
    coordinator, provider = hanging(where)
    with pytest.raises(KeyboardInterrupt):
        coordinator.backup(REQUEST)
    assert not provider.returned  # it was not waited for
    provider.released.set()
    assert len(coordinator.backup(REQUEST).check().snapshots) == 1  # nothing of the first is open


@pytest.mark.parametrize("where", HANGING)
def test_ctrl_c_ends_a_call_of_a_session_whose_provider_hangs(hanging, where):
    coordinator, provider = hanging(where)
    with coordinator.backup_components() as session:
        session.initialize_for_backup()
        session.set_backup_state(STATE)
        session.gather_writer_metadata().finish()
        session.start_snapshot_set()
        with pytest.raises(KeyboardInterrupt):
            session.add_to_snapshot_set("data")
        assert not provider.returned
        provider.released.set()
        session.add_to_snapshot_set("data")  # the set stayed open for another attempt
        session.prepare_for_backup().finish()
        session.do_snapshot_set().finish()
        session.backup_complete().finish()


def test_a_session_that_another_thread_closes_waits_for_no_provider_that_hangs(hanging):
    hangs = threading.Event()
    coordinator, provider = hanging("begin_prepare_snapshot", hangs.set)
    session = coordinator.backup_components()
    session.initialize_for_backup()
    session.set_backup_state(STATE)
    session.gather_writer_metadata().finish()
    session.start_snapshot_set()
    told = []

    def add():
        with pytest.raises(vss.StepCancelled) as caught:
            session.add_to_snapshot_set("data")
        told.append(caught.value)

    adding = threading.Thread(target=add)
    adding.start()
    hangs.wait()
    session.close()
    adding.join()
    assert told
    assert not provider.returned
