"""Sets of a state folder under VSS when something goes wrong on the way: nothing that was said to
have failed may be there as a good set, and nothing that was promised may be missing."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from vss_writers import Application

from exshadow import vss
from exshadow.errors import Error, ExistsError, IoError, NoSpaceError, RefusedError
from exshadow.service import shadow
from exshadow.service.desk import Desk
from exshadow.service.documents import document_file, save_document
from exshadow.service.group_provider import GroupProvider
from exshadow.service.local import LocalService
from exshadow.service.making_journal import Journal
from exshadow.service.snapshots import Split
from exshadow.service.state import StateFolder


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Writers of the tests, also in the processes that the command line starts."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    if "shop" in request.fixturenames:
        request.getfixturevalue("shop").cli.environment["PYTHONPATH"] = path


@pytest.fixture
def service(shop) -> Iterator[LocalService]:
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        yield LocalService(desk)


def states(service: LocalService) -> set[str]:
    return {plex.state for name in ("db", "logs") for plex in service.show_volume(name).plexes}


def request(set_id: UUID, volume: str, attributes: int = 9) -> vss.SnapshotRequest:
    return vss.SnapshotRequest(set_id, uuid4(), volume, vss.SnapshotAttributes(attributes))


def ready(provider: GroupProvider, attributes: int = 9) -> UUID:
    """A set up to EndPrepareSnapshots."""
    set_id = uuid4()
    for volume in ("db", "logs"):
        provider.begin_prepare_snapshot(request(set_id, volume, attributes))
    provider.end_prepare_snapshots(set_id)
    return set_id


def committed(provider: GroupProvider) -> UUID:
    set_id = ready(provider)
    provider.commit_snapshots(set_id)
    return set_id


class Slow(LocalService):
    """Its split takes `seconds` longer, or until `released`."""

    seconds = 0.0

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.begun, self.released = threading.Event(), threading.Event()

    @contextmanager
    def armed_split(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> Iterator[Split]:
        with super().armed_split(group, label=label, plex=plex) as split:

            def late(set_id: str, consistency: str) -> object:
                self.begun.set()
                self.released.wait(self.seconds)
                return split(set_id, consistency)

            yield late  # type: ignore[misc]


@pytest.fixture
def slow(shop) -> Iterator[Slow]:
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        yield Slow(desk)


# --- a split that comes too late ---


def test_a_split_that_returns_to_an_aborted_set_goes_back(slow, tmp_path):
    slow.seconds = 20
    provider = GroupProvider(slow, journal=slow.desk.folder.path)
    set_id = ready(provider)
    failed: list[Error] = []

    def commit() -> None:
        try:
            provider.commit_snapshots(set_id)
        except Error as error:
            failed.append(error)

    thread = threading.Thread(target=commit)
    thread.start()
    assert slow.begun.wait(10)
    provider.abort_snapshots(set_id)  # comes back at once: the split cannot be stopped
    slow.released.set()
    thread.join(20)
    assert isinstance(failed[0], vss.VssError)
    assert provider.query() == []
    assert provider.settle() is None
    assert slow.list_sets().sets == ()
    assert states(slow) == {"in_sync"}
    assert list((slow.desk.folder.path / "making").iterdir()) == []


def test_a_late_split_leaves_no_set_and_the_writers_go_on(slow, tmp_path):
    """The whole way: the writer's limit is over while the volumes split."""
    slow.seconds = 2.5
    application = Application(tmp_path)
    try:
        writer = f"vss_writers:StoppingWriter?pid={application.pid}&limit=1"
        with pytest.raises(vss.WriterFailure):
            shadow.create_set(slow, "shop", [writer], slow.desk.folder.path)
        application.goes_on_within(5)
    finally:
        application.end()
    assert slow.list_sets().sets == ()
    assert states(slow) == {"in_sync"}


def test_a_set_is_no_more_than_crash_consistent_until_its_writers_went_on(service):
    provider = GroupProvider(service)
    provider.consistency = lambda set_id: "application"
    set_id = committed(provider)
    (one,) = service.list_sets().sets
    assert one.consistency == "crash"
    assert provider.query() == []
    provider.post_final_commit_snapshots(set_id)
    assert len(provider.query()) == 2
    (one,) = service.list_sets().sets
    assert one.consistency == "application"
    assert provider.settle() is None
    assert service.list_sets().sets == (one,)


def test_a_set_that_is_dropped_for_another_goes_back(service):
    provider = GroupProvider(service)
    committed(provider)
    provider.begin_prepare_snapshot(request(uuid4(), "db"))
    assert provider.settle() is None
    assert service.list_sets().sets == ()
    assert states(service) == {"in_sync"}


# --- what a set is ---


@pytest.mark.parametrize(
    ("writers", "consistency"),
    [
        (["crash"], "crash"),
        (["filesystem"], "filesystem"),
        (["filesystem", "crash"], "filesystem"),
        (["crash", "application", "filesystem"], "application"),
    ],
)
def test_a_set_is_what_its_writers_held_for_it(service, writers, consistency):
    named = [f"vss_writers:HoldingWriter?consistency={one}" for one in writers]
    made = shadow.create_set(service, "shop", named, service.desk.folder.path)
    assert made.consistency == consistency
    (listed,) = service.list_sets().sets
    assert listed.consistency == consistency


def test_without_a_writer_a_set_is_crash_consistent(service):
    with shadow.open_shadow(service, [], service.desk.folder.path) as opened:
        request = vss.BackupRequest(["db", "logs"], context=vss.Context.APP_ROLLBACK)
        opened.backup(request).check()
    (one,) = service.list_sets().sets
    assert one.consistency == "crash"


def test_a_writer_that_was_excluded_counts_for_nothing(service):
    with shadow.open_shadow(
        service, ["vss_writers:HoldingWriter?consistency=application"], service.desk.folder.path
    ) as opened:
        request = vss.BackupRequest(
            ["db", "logs"],
            context=vss.Context.APP_ROLLBACK,
            excluded=[vss.ComponentWish("Holding")],
        )
        opened.backup(request).check()
    (one,) = service.list_sets().sets
    assert one.consistency == "crash"


def test_file_systems_that_are_only_synced_are_not_held():
    """And an ESE folder is only described."""
    from exshadow.writers.ese_folder import EseFolderWriter
    from exshadow.writers.filesystem import FilesystemWriter
    from exshadow.writers.guest_agent import GuestAgentWriter

    assert FilesystemWriter("/proc", mode="sync").consistency == "crash"
    assert FilesystemWriter("/proc").consistency == "filesystem"
    assert GuestAgentWriter("/nowhere").consistency == "filesystem"
    assert EseFolderWriter("/proc").consistency == "crash"


# --- killed on the way ---


def until_said(file: Path, text: str) -> None:
    end = time.monotonic() + 30
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < end, f"{text} was never said"
        time.sleep(0.01)


def killed(shop, said: Path, text: str, *arguments: str) -> None:
    """Kill -9 the command when `said` has the text, with the program it may have started."""
    child = shop.cli.start(*arguments, start_new_session=True)
    try:
        until_said(said, text)
    finally:
        os.killpg(child.pid, 9)
        child.communicate()


def only_set(shop) -> dict[str, object]:
    (one,) = shop.cli.json("snapshot", "list")["sets"]
    return one


def test_a_command_killed_after_the_split_leaves_nothing_to_the_next(shop, tmp_path):
    """Between CommitSnapshots and PostFinalCommitSnapshots."""
    application, log = Application(tmp_path), tmp_path / "log"
    try:
        writer = f"vss_writers:StoppingWriter?pid={application.pid}"
        hangs = f"{writer}&log={log}&hangs=thaw"
        killed(
            shop, log, "thaw", "snapshot", "create", "shop", "--label", "dead", "--writer", hangs
        )
        left = only_set(shop)
        assert left["consistency"] == "crash"
        shop.cli("snapshot", "create", "shop", "--label", "next", "--writer", writer)
        application.goes_on_within(5)
    finally:
        application.end()
    assert only_set(shop)["label"] == "next"
    assert only_set(shop)["id"] != left["id"]


@pytest.mark.parametrize("keep", [(), ("--keep",)])
def test_a_command_killed_in_its_program_leaves_nothing_to_the_next(shop, tmp_path, keep):
    begun = tmp_path / "begun"
    killed(
        shop, begun, "begun", "vss", "backup", "db", "logs", "--no-components", *keep,
        "--exec", f"echo begun > {begun}; exec sleep 30",
    )  # fmt: skip
    dead = only_set(shop)["id"]
    shop.cli("vss", "snapshots")  # looking moves no data
    assert only_set(shop)["id"] == dead
    shop.cli("vss", "backup", "db", "logs", "--no-components")
    assert shop.cli.json("snapshot", "list")["sets"] == []
    plexes = shop.cli.json("mirror", "list", "db")["plexes"]
    assert {one["state"] for one in plexes} == {"in_sync"}


def test_a_set_that_somebody_is_making_is_left_alone(service):
    """Also by a command that begins meanwhile."""
    making = GroupProvider(service, journal=service.desk.folder.path)
    set_id = committed(making)
    GroupProvider(service, journal=service.desk.folder.path).clear()
    making.post_final_commit_snapshots(set_id)
    assert making.settle() is None
    assert [one.id for one in service.list_sets().sets] == [str(set_id)]


def test_what_another_group_left_is_not_touched(service, monkeypatch):
    """By a provider that has other volumes: it would not know how."""
    state = service.desk.folder.path
    making = GroupProvider(service, journal=state)
    set_id = committed(making)
    making._making._making[set_id].entry.leave()  # as when its process is killed
    making._making._making[set_id].stack.close()
    other = GroupProvider(service, journal=state)
    monkeypatch.setattr(other, "groups", lambda: {"mail": ["mail"]})
    other.clear()
    assert [one.id for one in service.list_sets().sets] == [str(set_id)]
    GroupProvider(service, journal=state).clear()
    assert service.list_sets().sets == ()


def test_the_journal_keeps_what_a_daemon_may_still_split(tmp_path):
    journal, set_id = Journal(tmp_path), uuid4()
    journal.begin(set_id).leave()
    (entry,) = journal.left()
    assert entry.set_id == str(set_id)
    assert entry.may_still_split()
    entry.leave()
    old = time.time() - 3600
    os.utime(tmp_path / "making" / str(set_id), (old, old))
    (entry,) = journal.left()
    assert not entry.may_still_split()
    entry.end()
    assert list(journal.left()) == []


# --- bringing back ---


class Unwilling(LocalService):
    """Its resync fails; `on` has the threads that asked for it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.on: list[threading.Thread] = []

    def resync_set(self, text: str, *, limit: int | None = None):
        self.on.append(threading.current_thread())
        raise IoError("the mirror's disk is gone")


def test_copies_that_do_not_come_back_are_a_failure(shop):
    """They are brought back by the caller's own thread: no limit of a coordinator cuts it off."""
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        unwilling = Unwilling(desk)
        with shadow.open_shadow(unwilling, [], desk.folder.path) as opened:
            outcome = opened.backup(vss.BackupRequest(["db", "logs"]))
        assert outcome.report.completed
        assert isinstance(outcome.error, IoError)
        assert unwilling.on == [threading.current_thread()]
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        service = LocalService(desk)
        assert len(service.list_sets().sets) == 1  # it may be seen, and the next one sees to it
        GroupProvider(service, journal=desk.folder.path).clear()
        assert service.list_sets().sets == ()


def test_a_failure_also_tells_of_copies_that_did_not_come_back(shop, application):
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        with shadow.open_shadow(Unwilling(desk), [], desk.folder.path) as opened:
            opened.register_writer("vss_writers:LastRefuser", {"pid": str(application.pid)})
            outcome = opened.backup(vss.BackupRequest(["db", "logs"]))
        assert isinstance(outcome.error, vss.WriterFailure)
        assert "the archive is full" in outcome.error.message
        assert "the mirror's disk is gone" in outcome.error.message


def test_a_session_left_open_leaves_no_snapshots_of_its_own(service):
    with shadow.open_shadow(service, [], service.desk.folder.path) as opened:
        session = opened.backup_components()
        session.initialize_for_backup()
        session.set_context(vss.Context.FILE_SHARE_BACKUP)
        session.start_snapshot_set()
        for volume in ("db", "logs"):
            session.add_to_snapshot_set(volume)
        session.do_snapshot_set().finish()
        assert len(service.list_sets().sets) == 1
    assert service.list_sets().sets == ()


class Mover(vss.Provider):
    """Its revert takes longer than a provider's calls may."""

    provider_id = UUID(int=0xE1)
    name = "Mover"
    reverts = True
    snapshot = UUID(int=0xE2)

    def is_volume_supported(self, volume: str, attributes: vss.SnapshotAttributes) -> bool:
        return True

    def begin_prepare_snapshot(self, request: vss.SnapshotRequest) -> None: ...
    def commit_snapshots(self, set_id: UUID) -> None: ...
    def abort_snapshots(self, set_id: UUID) -> None: ...

    def query(self) -> list[vss.SnapshotProperties]:
        return [
            vss.SnapshotProperties(
                self.snapshot, UUID(int=0xE3), 1, "/copy", "db", "here", "here", "", "",
                self.provider_id, vss.SnapshotAttributes.PERSISTENT, 0, vss.SnapshotState.CREATED,
            )
        ]  # fmt: skip

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        time.sleep(0.6)

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None: ...

    def query_revert_status(self, volume: str) -> None:
        time.sleep(0.6)


@pytest.mark.parametrize("kind", [vss.Coordinator, vss.IsolatedCoordinator])
def test_moving_data_takes_as_long_as_it_takes(kind):
    with kind(limits=vss.Limits(provider=0.2)) as coordinator:
        coordinator.register_provider(Mover())
        coordinator.revert(Mover.snapshot)
        assert coordinator.delete(Mover.snapshot, vss.ObjectType.SNAPSHOT).deleted == 1


def test_a_revert_by_a_session_waits_for_its_end(service, shop):
    before = shop.bytes("db")
    with shadow.open_shadow(service, [], service.desk.folder.path) as opened:
        request = vss.BackupRequest(["db", "logs"], context=vss.Context.APP_ROLLBACK)
        report = opened.backup(request).check()
        (snapshot,) = [one for one in report.snapshots if one.original_volume == "db"]
        (shop.folder / "db.img").stat()
        with service.desk.session(["db"]) as session:
            session.volumes["db"].write(0, b"x" * 4096)
        with opened.backup_components() as asking:
            asking.initialize_for_backup()
            asking.set_context(vss.Context.ALL)
            asking.revert_to_snapshot(snapshot.snapshot_id, force_dismount=False)
            asking.query_revert_status("db").finish()
        assert shop.bytes("db") == before


# --- the document of a set ---


@pytest.fixture
def application(tmp_path) -> Iterator[Application]:
    running = Application(tmp_path)
    yield running
    running.end()


def test_a_writer_that_fails_at_the_end_leaves_the_set_and_its_document(shop, application):
    writer = f"vss_writers:LastRefuser?pid={application.pid}"
    error = shop.cli.error(6, "snapshot", "create", "shop", "--label", "z", "--writer", writer)
    assert "the archive is full" in error["message"]
    assert "the set shop@z was made, and stays" in error["message"]
    made = only_set(shop)
    assert (made["state"], made["consistency"]) == ("ready", "application")
    document = document_file(shop.cli.state, made["id"]).read_text()
    assert "START WAL LOCATION" in document
    vss.parse_backup_document(document)


def test_the_document_is_there_before_the_copy_is_proved(service, application):
    state, seen = service.desk.folder.path, []

    def prove(set_id: str) -> bool:
        seen.append(document_file(state, set_id).read_text())
        return True

    writer = f"vss_writers:LastRefuser?pid={application.pid}"
    with pytest.raises(vss.WriterFailure):
        shadow.create_set(service, "shop", [writer], state, prove=prove)
    assert "START WAL LOCATION" in seen[0]


def test_a_backup_that_is_kept_has_its_document_until_its_copies_go_back(shop):
    backup = ("vss", "backup", "db", "logs", "--keep")
    kept = shop.cli.json(*backup, "--label", "one")["backup"]["snapshot_set_id"]
    document = document_file(shop.cli.state, kept)
    assert kept in document.read_text()
    shop.cli("snapshot", "resync", "one", "--yes")
    assert not document.exists()
    kept = shop.cli.json(*backup, "--label", "two")["backup"]["snapshot_set_id"]
    shop.cli("snapshot", "delete", "two", "--yes")  # the files live on, and need it
    assert document_file(shop.cli.state, kept).exists()


def test_a_backup_that_is_not_kept_leaves_no_document(shop):
    shop.cli("vss", "backup", "db", "logs")
    assert not (shop.cli.state / "documents").exists()


def test_no_set_is_made_whose_document_cannot_be_kept(service):
    state = service.desk.folder.path
    (state / "documents").write_text("a file in the way")
    with pytest.raises(Error, match="keeping the document"):
        shadow.create_set(service, "shop", ["vss_writers:HoldingWriter?consistency=crash"], state)
    assert service.list_sets().sets == ()
    assert states(service) == {"in_sync"}


def test_a_document_is_whole_or_as_before(tmp_path, monkeypatch):
    save_document(tmp_path, "one", "before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(NoSpaceError, match="keeping the document of set one"):
            save_document(tmp_path, "one", "after")
    assert document_file(tmp_path, "one").read_text() == "before"
    assert len(list((tmp_path / "documents").iterdir())) == 1


# --- what is told when the volumes refuse ---


def whole(**more) -> vss.BackupRequest:
    return vss.BackupRequest(["db", "logs"], context=vss.Context.APP_ROLLBACK, **more)


def test_a_refusal_that_will_not_change_is_not_waited_for(service):
    """Ten minutes, and once more, for a label that is taken."""
    service.create_set("shop", label="taken")
    with shadow.open_shadow(service, [], service.desk.folder.path, label="taken") as opened:
        outcome = opened.backup(whole(retry=vss.RetryLimits(tries=2, wait=30_000)))
    assert isinstance(outcome.error, ExistsError)
    assert outcome.report.tries == 1


def test_a_refusal_is_not_told_in_place_of_a_later_failure(service, application):
    service.create_set("shop", label="taken")
    with shadow.open_shadow(service, [], service.desk.folder.path, label="taken") as opened:
        assert isinstance(opened.backup(whole()).error, ExistsError)
        service.resync_set("shop@taken")
        opened.register_writer("vss_writers:RefusingWriter", {"pid": str(application.pid)})
        state, once = vss.BackupState(select_components=False), vss.RetryLimits(tries=1)
        outcome = opened.backup(whole(state=state, retry=once))
    assert isinstance(outcome.error, vss.WriterFailure)
    assert "the log disk is full" in outcome.error.message


def test_a_pinned_set_is_not_deleted_and_says_why(service):
    with shadow.open_shadow(service, [], service.desk.folder.path) as opened:
        made = opened.backup(whole()).check().snapshot_set_id
        service.pin_set(str(made), "forever")
        with pytest.raises(RefusedError, match="pinned"):
            opened.delete(made, vss.ObjectType.SNAPSHOT_SET)
        service.pin_set(str(made), None, reason="test")
        assert opened.delete(made, vss.ObjectType.SNAPSHOT_SET).deleted == 2
    assert service.list_sets().sets == ()


# --- what lies inside the freeze ---


class Spied:
    """A volume whose flush is noted."""

    def __init__(self, volume: object, noted: list[str], name: str) -> None:
        self.flush = lambda: (noted.append(name), volume.flush())[1]  # type: ignore[attr-defined]


def test_dirty_data_is_flushed_before_anybody_is_frozen(service, monkeypatch):
    noted: list[str] = []
    opened = service.desk.session

    @contextmanager
    def session(names):
        with opened(names) as given:
            given.volumes = {name: Spied(one, noted, name) for name, one in given.volumes.items()}
            yield given

    monkeypatch.setattr(service.desk, "session", session)
    with service.armed_split("shop"):
        assert noted == ["db", "logs"]


def test_the_catalog_is_written_when_nobody_is_held_any_more(service):
    set_id = str(uuid4())

    def known() -> list[str]:
        return [one.id for one in service.desk.catalog.sets()]

    with service.armed_split("shop") as split:
        assert split(set_id, "crash").state == "ready"
        assert known() == []
    assert known() == [set_id]
