"""The catalog: schema, upgrade, damage, concurrency, export and import."""

import copy
import multiprocessing
import sqlite3
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest
from catalog_server import drop_connections, new_database
from sqlalchemy import text

from exshadow.catalog import documents, migrations, open_catalog, schema, transfer
from exshadow.catalog.journal import CatalogJournal
from exshadow.errors import CorruptError, Error, InvalidError, NewerVersionError
from exshadow.model import JobRecord, Member, PlexRecord, SetRecord, Verification, VolumeRecord
from exshadow.providers.contract import Action, Source, Verb

SET = SetRecord(
    "set-1",
    "noon",
    "g",
    "2026-01-01T00:00:00Z",
    "native",
    "crash",
    "ready",
    (Member("a", "m2", "/a2", 512), Member("b", "m2", "/b2", 1024)),
)
VERDICT = Verification("bytes", True, "2026-01-01T01:00:00Z", "512 B read")
KNOWN = replace(SET, verified=VERDICT, checks=(VERDICT,))
JOB = JobRecord("sync", 10, 2, 12, 0.5, "done")
VOLUME = VolumeRecord(
    "a", "u", "g", 512, 4096, "ok", True, 1, (PlexRecord("p1", "/a", "in_sync", 512),), ()
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, file):
    """File and URL of a catalog of either kind."""
    if request.param == "sqlite":
        return file, None
    return file, new_database(request.getfixturevalue("catalog_server"))


@pytest.fixture
def catalog(place):
    with closing(open_catalog(*place).catalog) as opened:
        yield opened


@pytest.fixture
def in_file(file):
    """One in a file, for what only a file can suffer."""
    with closing(open_catalog(file).catalog) as opened:
        yield opened


def fill(catalog):
    catalog.record_volume(VOLUME)
    catalog.record_set(SET)
    catalog.add_verification(SET.id, VERDICT)
    catalog.add_job(JOB, volume="a", target="/a2", started="2026-01-01T00:00:00Z")
    catalog.add_events("a", ["one", "two"])


def test_what_is_recorded_is_read_back(catalog):
    fill(catalog)
    assert catalog.sets() == [KNOWN]
    assert catalog.sets("other") == []
    assert catalog.volumes()["a"]["plex_paths"] == ["/a"]
    assert [event["text"] for event in catalog.events("a")] == ["one", "two"]
    (job,) = catalog.jobs("a")
    assert (job["bytes_copied"], job["seconds"], job["state"]) == (10, 0.5, "done")


def test_recording_again_replaces_and_keeps_verdicts(catalog):
    fill(catalog)
    catalog.record_set(replace(SET, state="resyncing"))
    bad = replace(VERDICT, ok=False, at="2026-01-02T00:00:00Z")
    catalog.add_verification(SET.id, bad)
    (one,) = catalog.sets()
    assert (one.state, one.verified) == ("resyncing", bad)


def test_migrations_lead_to_the_schema_of_the_code(catalog):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with catalog.engine.begin() as connection:
        assert migrations.stored_revision(connection) == migrations.HEAD
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []


def test_uses_a_write_ahead_log(in_file, file):
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_states_of_opening(file):
    states = []
    for _ in range(2):
        opened = open_catalog(file)
        opened.catalog.close()
        states.append(opened.state)
    assert states == ["fresh", "existing"]


def test_a_newer_schema_is_refused_and_left_alone(place, catalog):
    with catalog.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerVersionError) as caught:
        open_catalog(*place)
    assert caught.value.exit_status == 4
    with catalog.engine.begin() as connection:
        assert migrations.stored_revision(connection) == "9999"


def test_an_upgrade_that_fails_leaves_nothing_behind(file, monkeypatch):
    from exshadow.catalog.migrations import _run_alembic

    def stumble(connection):
        _run_alembic(connection)
        raise RuntimeError("power cut")

    monkeypatch.setattr(migrations, "_run_alembic", stumble)
    with pytest.raises(RuntimeError):
        open_catalog(file)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    monkeypatch.undo()
    with closing(open_catalog(file).catalog) as opened:
        fill(opened)


def test_F24_a_damaged_file_is_moved_aside(file, in_file):
    fill(in_file)
    in_file.close()
    file.write_bytes(b"this was a catalog " * 1000)
    with pytest.raises(CorruptError):
        open_catalog(file, repair=False)
    opened = open_catalog(file)
    with closing(opened.catalog):
        assert opened.state == "replaced"
        assert opened.catalog.sets() == []
    (aside,) = file.parent.glob("catalog.sqlite.damaged-*")
    assert str(aside) == opened.aside
    assert aside.read_bytes().startswith(b"this was a catalog")


def test_F24_damage_in_the_middle_is_found(file, in_file):
    fill(in_file)
    in_file.close()
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = b"\xa5" * (len(damaged) - 4096)
    file.write_bytes(damaged)
    opened = open_catalog(file)
    opened.catalog.close()
    assert opened.state == "replaced"


def write_jobs(place, count):
    with closing(open_catalog(*place).catalog) as catalog:
        for index in range(count):
            catalog.add_job(JOB, volume=f"v{index}", target="", started="now")


def test_many_processes_create_and_write_at_once(place):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_jobs, args=(place, 20)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with closing(open_catalog(*place).catalog) as catalog:
        assert len(catalog.jobs()) == 80


def test_a_reader_does_not_wait_for_a_writer(file, catalog):
    fill(catalog)
    with catalog.engine.begin() as writer:
        writer.execute(text("DELETE FROM jobs"))
        assert len(catalog.jobs()) == 1


def test_export_and_import_are_inverse(tmp_path, catalog):
    fill(catalog)
    document = transfer.export_catalog(catalog)
    with closing(open_catalog(tmp_path / "other.sqlite").catalog) as other:
        counts = transfer.import_catalog(other, document)
        assert counts["sets"] == 1
        again = transfer.export_catalog(other)
    assert {**again["catalog"], "exported": ""} == {**document["catalog"], "exported": ""}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.pop("sets"),
        lambda body: body["jobs"][0].pop("state"),
        lambda body: body["jobs"][0].update(bytes_copied="many"),
        lambda body: body["jobs"][0].update(bytes_copied=True),
        lambda body: body["members"][0].update(set_id="nobody"),
        lambda body: body["sets"].append(body["sets"][0]),
        lambda body: body.update(jobs={}),
        lambda body: body.update(format="1"),
    ],
)
def test_a_bad_document_changes_nothing(catalog, spoil):
    fill(catalog)
    document = transfer.export_catalog(catalog)
    spoil(document["catalog"])
    with pytest.raises(InvalidError):
        transfer.import_catalog(catalog, document)
    assert catalog.sets() == [KNOWN]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("volumes", "name", "../a"),
        ("volumes", "size", -1),
        ("sets", "id", "../../etc"),
        ("sets", "label", ""),
        ("sets", "group", "a/b"),
        ("sets", "state", "Ready"),
        ("sets", "consistency", "perfect"),
        ("sets", "pinned_until", "some day"),
        ("sets", "hold_us", -1),
        ("members", "volume", "a\nb"),
        ("members", "path", "\ud800"),
        ("members", "size", -512),
        ("verifications", "seconds", float("nan")),
        ("jobs", "started", "yesterday"),
        ("jobs", "bytes_copied", -1),
        ("actions", "id", "one"),
        ("actions", "verb", "explode"),
        ("actions", "state", "perhaps"),
        ("actions", "asked", "{}"),
        ("actions", "asked", "[]"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_place(in_file, table, column, value):
    fill(in_file)
    action = Action(str(uuid4()), Verb.PREPARE, "g", "m2", (Source("a", "/a", 512),))
    CatalogJournal(in_file, "run").begin("native", action)
    document = transfer.export_catalog(in_file)
    transfer.import_catalog(in_file, document)
    wrong = copy.deepcopy(document)
    wrong["catalog"][table][-1][column] = value
    last = len(wrong["catalog"][table]) - 1
    with pytest.raises(InvalidError) as caught:
        transfer.import_catalog(in_file, wrong)
    assert caught.value.message.startswith(f"{table}[{last}].{column}: ")
    again = transfer.export_catalog(in_file)
    assert {**again["catalog"], "exported": ""} == {**document["catalog"], "exported": ""}


def test_a_document_of_the_first_schema_is_taken(catalog, tmp_path):
    fill(catalog)
    document = transfer.export_catalog(catalog)
    document["catalog"]["schema"] = "0001"
    for row in document["catalog"]["verifications"]:
        for name in ("seconds", "evidence", "copies"):
            del row[name]
    with closing(open_catalog(tmp_path / "other.sqlite").catalog) as other:
        transfer.import_catalog(other, document)
        assert other.sets() == [KNOWN]


def test_a_catalog_of_the_first_schema_is_upgraded(file):
    from alembic import command

    upgrade = command.upgrade
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "HEAD", "0001")
        patch.setattr(command, "upgrade", lambda config, head: upgrade(config, "0001"))
        open_catalog(file).catalog.close()
    with closing(sqlite3.connect(file)) as old, old:
        old.execute(
            "INSERT INTO sets VALUES"
            "('set-1', 'noon', 'g', '2026', 'native', 'crash', 'ready', NULL, 0)"
        )
        old.execute(
            "INSERT INTO verifications(set_id, [check], ok, at, detail)"
            " VALUES('set-1', 'bytes', 1, '2026-01-01T01:00:00Z', '512 B read')"
        )
    with closing(open_catalog(file).catalog) as catalog:
        (one,) = catalog.sets()
        assert one.verified == VERDICT


def test_verdicts_of_several_checks(catalog):
    fill(catalog)
    bad = replace(VERDICT, check="ese", ok=False, evidence={"files": [1]}, seconds=2.5, copies="x")
    again = replace(VERDICT, at="2026-01-03T00:00:00Z")
    for verdict in (bad, again):
        catalog.add_verification(SET.id, verdict)
    (one,) = catalog.sets()
    assert one.checks == (bad, again)
    assert one.verified == bad


@pytest.mark.parametrize("document", [None, [], {}, {"catalog": 1}, {"catalog": {}}])
def test_what_is_no_document_is_refused(catalog, document):
    with pytest.raises(InvalidError):
        transfer.import_catalog(catalog, document)


def test_a_newer_document_is_refused(catalog):
    document = transfer.export_catalog(catalog)
    document["catalog"]["format"] = 2
    with pytest.raises(NewerVersionError):
        transfer.import_catalog(catalog, document)


def test_hosts_that_share_a_catalog_see_their_own_rows(catalog_server, file):
    url = new_database(catalog_server)
    first, second = (open_catalog(file, url, owner=name).catalog for name in ("one", "two"))
    with closing(first), closing(second):
        fill(first)
        second.record_volume(replace(VOLUME, uuid="u2"))
        assert first.sets() == [KNOWN]
        assert (second.sets(), second.jobs(), second.events()) == ([], [], [])
        assert first.volumes()["a"]["uuid"] == "u"
        second.forget_volume("a")
        second.change_set(SET.id, state="dissolved")
        assert (first.sets(), list(first.volumes())) == ([KNOWN], ["a"])


def test_an_import_replaces_the_own_rows_only(catalog_server, file, tmp_path):
    url = new_database(catalog_server)
    first, second = (open_catalog(file, url, owner=name).catalog for name in ("one", "two"))
    with closing(first), closing(second), closing(open_catalog(file).catalog) as alone:
        fill(first)
        fill(alone)
        document = transfer.export_catalog(alone)
        for table in ("sets", "members", "verifications"):
            for row in document["catalog"][table]:
                row["id" if table == "sets" else "set_id"] = "set-2"
        transfer.import_catalog(second, document)
        assert first.sets() == [KNOWN]
        assert [one.id for one in second.sets()] == ["set-2"]
        transfer.import_catalog(second, document)
        assert (len(first.jobs()), len(second.jobs())) == (1, 1)


def test_what_sqlite_had_goes_on_in_postgresql(catalog_server, in_file, tmp_path):
    fill(in_file)
    document = transfer.export_catalog(in_file)
    url = new_database(catalog_server)
    with closing(open_catalog(tmp_path / "none", url, owner="me").catalog) as server:
        transfer.import_catalog(server, document)
        assert server.sets() == [KNOWN]
        server.add_verification(SET.id, replace(VERDICT, ok=False))  # numbers go on
        assert not server.sets()[0].verified.ok


def test_a_server_that_drops_its_connections_does_not_matter(catalog_server, file):
    url = new_database(catalog_server)
    with closing(open_catalog(file, url).catalog) as catalog:
        fill(catalog)
        drop_connections(catalog_server)
        assert catalog.sets() == [KNOWN]


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("postgresql+psycopg://postgres@/none?host={}", 3, "does not exist"),
        ("postgresql+psycopg://nobody-here@/postgres?host={}", 4, "role"),
        ("postgresql+psycopg://postgres@/postgres?host=/nowhere", 7, "cannot be used"),
    ],
)
def test_a_server_that_does_not_serve_says_why(catalog_server, file, url, status, said):
    with pytest.raises(Error, match=said) as caught:
        open_catalog(file, url.format(catalog_server.sockets))
    assert caught.value.exit_status == status
    assert caught.value.hint


def test_a_document_is_kept_with_its_hash(catalog):
    content = bytes(range(256))
    documents.keep_document(catalog, SET.id, "set.xml", b"old")
    documents.keep_document(catalog, SET.id, "set.xml", content, ["/elsewhere/set.xml"])
    (one,) = documents.documents(catalog, SET.id)
    assert (one.content, one.paths) == (content, ("/elsewhere/set.xml",))
    with catalog.engine.begin() as connection:
        connection.execute(text("UPDATE documents SET content = 'AAAA'"))
    with pytest.raises(CorruptError, match=r"set\.xml") as caught:
        documents.documents(catalog, SET.id)
    assert "/elsewhere/set.xml" in caught.value.hint


def test_documents_and_remarks_go_with_an_export(catalog, tmp_path):
    fill(catalog)
    documents.keep_document(catalog, SET.id, "set.xml", b"<set/>")
    documents.add_remark(catalog, SET.id, "unpinned", "audit is over")
    document = transfer.export_catalog(catalog)
    with closing(open_catalog(tmp_path / "other.sqlite").catalog) as other:
        transfer.import_catalog(other, document)
        assert documents.documents(other, SET.id)[0].content == b"<set/>"
        assert documents.remarks(other, SET.id)[0].reason == "audit is over"
