"""The words of VSS in Python are those of the engine: enumerations, HRESULTs, errors, documents."""

from uuid import UUID

import pytest

import exshadow
from exshadow import _core, vss
from exshadow.vss import errors, tables
from exshadow.vss.plain import from_plain, to_json, to_plain
from exshadow.vss.words import Word, flag_words, flags_from_words, from_word

H = vss.HResult


def test_enumerations_are_the_engines():
    for name, rows in _core.vss_enumerations().items():
        kind = getattr(tables, name)
        mine = {word.lower(): int(value) for word, value in kind.__members__.items()}
        mine.pop("no_flags", None)
        assert mine == rows, name


def test_hresults_are_the_engines():
    rows = _core.vss_hresults()
    assert rows.keys() == {int(one) for one in H}
    names = ["none", "transient", "after_repair", "never"]
    for value, (name, retry, meaning, advice, code) in rows.items():
        one = H(value)
        assert one.name == name
        assert errors.HRESULT_FACTS[one] == (names[retry], meaning, advice)
        if errors.is_failure(value):
            assert advice
            assert vss.failure(one, "x").code == code, name


@pytest.mark.parametrize("value", [one for one in H if errors.is_failure(one)])
def test_every_failure_is_an_error_a_person_can_act_on(value):
    error = vss.failure(value, "writer 'X'")
    assert isinstance(error, vss.VssError)
    assert isinstance(error, exshadow.Error)
    assert str(error).startswith(f"writer 'X': {value.name} (0x{int(value):08X}): ")
    assert error.hint
    assert (error.hresult, error.name) == (value, value.name)
    assert error.meaning in str(error)
    assert error.retry in ("transient", "after_repair", "never")
    assert error.exit_status == exshadow.errors.make(error.code, "").exit_status


def test_errors_are_caught_as_what_they_are():
    assert issubclass(vss.SnapshotSetInProgress, exshadow.BusyError)
    assert issubclass(vss.InvalidArgument, ValueError)
    assert issubclass(vss.ObjectNotFound, LookupError)
    assert issubclass(vss.InsufficientStorage, OSError)
    assert issubclass(vss.WriterFailure, exshadow.WriterError)
    with pytest.raises(vss.BadState) as caught:
        raise vss.failure(H.VSS_E_BAD_STATE, "StartSnapshotSet")
    assert caught.value.exit_status == 4
    assert vss.failure(H.VSS_E_WRITERERROR_TIMEOUT, "x").exit_status == 6


def test_a_writers_failure_names_it():
    error = errors.writer_failure(
        "Ledger", H.VSS_E_WRITERERROR_RETRYABLE, vss.WriterState.FAILED_AT_FREEZE
    )
    assert str(error).startswith(
        "VSS_E_WRITERERROR_RETRYABLE (0x800423F3): writer 'Ledger' failed_at_freeze"
    )
    assert error.hint.startswith("try again")
    assert (error.writer_name, error.state.word) == ("Ledger", "failed_at_freeze")


def test_numbers_from_a_newer_windows_are_kept():
    unknown = H(0x8004FFFF)
    assert isinstance(unknown, H)
    assert unknown == 0x8004FFFF
    assert errors.hresult_text(unknown) == "0x8004FFFF"
    assert vss.WriterState(99).word == "unknown_99"
    assert H(0x8004FFFF) not in set(H)
    assert flag_words(vss.SnapshotAttributes(0x40000001)) == "persistent+1073741824"


def test_words_go_there_and_back():
    for name in _core.vss_enumerations():
        kind = getattr(tables, name)
        for one in kind:
            if issubclass(kind, Word):
                assert from_word(kind, one.word) is one
            else:
                assert flags_from_words(kind, flag_words(one)) == one
    with pytest.raises(ValueError, match="'fool' is no backup type") as caught:
        from_word(vss.BackupType, "fool")
    assert "full" in caught.value.hint
    with pytest.raises(ValueError, match="'rash' is no break flag"):
        flags_from_words(vss.BreakFlags, "make_read_write+rash")


def sample() -> vss.WriterMetadata:
    return vss.WriterMetadata(
        UUID(int=1),
        "Ledger & Söhne",
        instance_id=UUID(int=2),
        usage=vss.UsageType.USER_DATA,
        source=vss.SourceType.TRANSACTED_DB,
        schema=vss.BackupSchema.COPY | vss.BackupSchema.INCREMENTAL,
        components=[
            vss.ComponentMetadata(
                "main",
                "books",
                vss.ComponentType.DATABASE,
                database_files=[vss.FileSet("/srv", "*.db", recursive=True)],
                dependencies=[vss.Dependency(UUID(int=9), "", "registry")],
            )
        ],
        restore_method=vss.RestoreMethodMetadata(vss.RestoreMethod.RESTORE_IF_CAN_REPLACE),
    )


def test_documents_go_there_and_back():
    document = sample()
    text = vss.serialise(document)
    assert vss.parse_writer_metadata(text) == document
    assert vss.parse_writer_metadata(text.encode("utf-16")) == document
    backup = vss.BackupDocument(
        select_components=True,
        type=vss.BackupType.FULL,
        snapshot_set_id=UUID(int=7),
        writers=[
            vss.BackupWriter(
                UUID(int=1),
                UUID(int=2),
                components=[vss.BackupComponent("main", "books", succeeded=True, backup_stamp="s")],
            )
        ],
    )
    assert vss.parse_backup_document(vss.serialise(backup)) == backup


def test_what_nobody_knows_survives():
    text = vss.serialise(sample()).replace("</BACKUP_LOCATIONS>", "<NEW a='1'/></BACKUP_LOCATIONS>")
    document = vss.parse_writer_metadata(text)
    assert document.unknown_locations.elements
    assert "<NEW" in vss.serialise(document)


@pytest.mark.parametrize(
    "text", ["", "<a/>", "<!DOCTYPE x [<!ENTITY y 'z'>]><x/>", "\x00", "\ud800"]
)
def test_bad_documents_are_refused(text):
    with pytest.raises(vss.InvalidDocument) as caught:
        vss.parse_backup_document(text)
    assert caught.value.exit_status == 5
    assert caught.value.hresult is H.VSS_E_INVALID_XML_DOCUMENT


def test_values_the_engine_cannot_hold_are_refused():
    document = sample()
    document.name = 5  # type: ignore[assignment]
    with pytest.raises(TypeError):
        vss.serialise(document)
    document = sample()
    document.major_version = -1
    with pytest.raises(ValueError, match="does not fit"):
        vss.serialise(document)
    with pytest.raises(vss.VssError):
        vss.serialise(vss.WriterMetadata(UUID(int=1), "bell \x07"))


def test_records_of_plain_values():
    document = sample()
    assert from_plain(vss.WriterMetadata, to_plain(document)) == document
    assert from_plain(vss.WriterMetadata, to_json(document)) == document
    assert to_json(vss.WriterStatus(UUID(int=1), UUID(int=2), "x"))["failure"] == "S_OK"
    assert from_plain(vss.StepStatus, {"state": 1, "result": 0, "newer": 1}).state == 1
