"""Tool: Windows' own service through ``exshadow-vss.exe --json``, with the results of the
procedures.

For Python where the native module has no VSS service of its own, and for tests under Wine. What
runs while the snapshots exist is a program (:class:`exshadow.vss.Command`), since it runs beside
the tool.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from exshadow.errors import Error, InvalidError, NotFoundError
from exshadow.vss import tool_process
from exshadow.vss.command import Command
from exshadow.vss.errors import make
from exshadow.vss.plain import Plain, from_plain
from exshadow.vss.procedures import (
    BackupOutcome,
    BackupReport,
    BackupRequest,
    Between,
    ImportReport,
    PutBack,
    RecoveryPair,
    RestoreOutcome,
    RestoreReport,
    RestoreRequest,
    WaitLimits,
    WriterDocument,
    WriterEntry,
)
from exshadow.vss.service import VssService
from exshadow.vss.tables import BreakFlags, ObjectType, RecoveryFlags
from exshadow.vss.tool_options import (
    backup_options,
    exec_options,
    given,
    repeated,
    restore_options,
)
from exshadow.vss.values import (
    Context,
    DeleteOutcome,
    Exposure,
    ProviderProperties,
    SnapshotProperties,
)
from exshadow.vss.writer import text_of

NAME = "exshadow-vss.exe"
T = TypeVar("T")


class Tool(VssService):
    """`path` of the tool, and what runs it (``["wine"]``; empty on Windows)."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        launcher: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [*launcher, os.fspath(path)]
        self._environment = dict(os.environ if environment is None else environment)

    # --- looking

    def writers(self) -> list[WriterEntry]:
        with self._answer("writers", "writers", "--documents") as found:
            return [
                from_plain(
                    WriterEntry,
                    {"metadata": one, "document": one["document"], "status": one["status"]},
                )
                for one in found
            ]

    def providers(self) -> list[ProviderProperties]:
        with self._answer("providers", "providers") as found:
            return from_plain(list[ProviderProperties], found)

    def snapshots(self, context: int = Context.ALL) -> list[SnapshotProperties]:
        """Those of all contexts; the tool knows no other question."""
        if context != Context.ALL:
            raise InvalidError("the tool lists the snapshots of all contexts only")
        with self._answer("snapshots", "snapshots", "list") as found:
            return from_plain(list[SnapshotProperties], found)

    # --- snapshots that exist

    def delete(self, id: UUID, type: ObjectType, *, force: bool = False) -> DeleteOutcome:
        options = ["--set"] * (type is ObjectType.SNAPSHOT_SET) + ["--force"] * force
        document, error = self._ask("snapshots", "delete", str(id), "--yes", *options)
        if error is not None and "deleted" not in document:
            raise error
        with self._understood():
            return from_plain(DeleteOutcome, document["deleted"])

    def break_set(self, set_id: UUID, flags: BreakFlags | None = None) -> None:
        with self._answer("broken", "break", str(set_id), "--yes", *repeated("--flag", flags)):
            pass

    def import_set(self, document: str) -> ImportReport:
        with self._file(document) as path, self._answer("imported", "import", path) as found:
            return from_plain(ImportReport, found)

    def expose(
        self,
        snapshot: UUID,
        name: str = "",
        *,
        path_from_root: str = "",
        how: Exposure = Exposure.LOCALLY,
    ) -> str:
        options = given("--as", name) + given("--path", path_from_root)
        options += ["--share"] * (how is Exposure.REMOTELY)
        with self._answer("exposed", "expose", str(snapshot), *options) as found:
            return from_plain(str, found["name"])

    def unexpose(self, snapshot: UUID) -> None:
        with self._answer("unexposed", "unexpose", str(snapshot)):
            pass

    def revert(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        force = ["--force-dismount"] * force_dismount
        with self._answer("reverted", "revert", str(snapshot), "--yes", *force):
            pass

    def resync(
        self,
        document: str,
        pairs: Sequence[RecoveryPair],
        flags: RecoveryFlags = RecoveryFlags.NO_FLAGS,
        *,
        writers: bool = False,
    ) -> None:
        texts = [
            f"{one.snapshot}={one.destination}" if one.destination else str(one.snapshot)
            for one in pairs
        ]
        with self._file(document) as path:
            options = [*repeated("--flag", flags), *["--writers"] * writers]
            command = ["resync", path, *texts, "--yes", *options]
            with self._answer("resynchronised", *command):
                pass

    # --- backup and restore

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        with tempfile.TemporaryDirectory(prefix="exshadow-vss-") as folder:
            options = [*request.volumes, *backup_options(request), *exec_options(between)]
            if request.base_document:
                base = Path(folder) / "base.xml"
                base.write_text(request.base_document, encoding="utf-8")
                options += ["--base", self._path(base)]
            saved = Path(folder) / "saved"
            options += ["--save-documents", self._path(saved)]
            document, error = self._ask("backup", *options, limits=request.limits, part=between)
            if "backup" not in document and error is not None:
                raise error
            with self._understood():
                report = _report(BackupReport, document["backup"], "document")
            return BackupOutcome(_with_documents(report, saved), _procedures(error, between))

    def restore(
        self, request: RestoreRequest, put_back: PutBack | Command | None = None
    ) -> RestoreOutcome:
        with self._file(request.document) as path:
            options = [*restore_options(request), *exec_options(put_back)]
            document, error = self._ask(
                "restore", path, "--yes", *options, limits=request.limits, part=put_back
            )
        if "restore" not in document and error is not None:
            raise error
        with self._understood():
            report = _report(RestoreReport, document["restore"])
        return RestoreOutcome(report, _procedures(error, put_back))

    # --- running it

    @contextmanager
    def _answer(self, name: str, *arguments: str) -> Iterator[Any]:
        """What the tool's document holds under `name`; its error, where it says one, is raised."""
        document, error = self._ask(*arguments)
        if error is not None:
            raise error
        with self._understood():
            yield document[name]

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Error for an answer of another shape: another program stands there, or another version
        of the tool."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise Error(
                f"{self._command[-1]} gave an answer that is not understood: {text_of(problem)}",
                hint="see that it is exshadow-vss.exe, of the version of this package",
            ) from None

    def _ask(
        self, *arguments: str, limits: WaitLimits | None = None, part: object = None
    ) -> tuple[dict[str, Any], Error | None]:
        """The tool's document, and its error where it says one. What `part`, a Command, wrote goes
        where its output is to go."""
        command = [*self._command, "--json", *arguments]
        seconds = (limits or WaitLimits()).grace / 1000
        ended = tool_process.run(command, self._environment, grace=seconds)
        if isinstance(part, Command):
            part.write(tool_process.commands_output(ended.err))
        document = self._document(ended)
        with self._understood():
            error = _error_of(document.get("error"))
        if error is None and ended.status != 0:
            raise self._broken_off("ended before it was done", ended)
        return document, error

    def _document(self, ended: tool_process.Ended) -> dict[str, Any]:
        try:
            document = json.loads(_text(ended.out))
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            return document
        raise self._broken_off("gave no answer", ended)

    def _broken_off(self, how: str, ended: tool_process.Ended) -> Error:
        said = _text(ended.err).strip().splitlines()
        return Error(
            f"{self._command[-1]} {how} (status {ended.status})",
            hint=said[-1] if said else "run it by hand: is it a program for this machine?",
        )

    @contextmanager
    def _file(self, text: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="exshadow-vss-") as folder:
            path = Path(folder) / "document.xml"
            path.write_text(text, encoding="utf-8")
            yield self._path(path)

    def _path(self, path: Path) -> str:
        """As the tool sees it: Wine has the root of this system as its drive Z."""
        return str(path) if os.name == "nt" else "Z:" + str(path).replace("/", "\\")


def find_tool(
    path: str | None, launcher: str | None, environment: Mapping[str, str]
) -> Tool | None:
    """The tool that is named, by argument or $EXSHADOW_VSS_TOOL; on Windows else the one beside
    the package or on PATH. None: this machine plays the service's part. NotFoundError when the
    one named is not there."""
    words = (launcher or environment.get("EXSHADOW_VSS_LAUNCHER", "")).split()
    named = path or environment.get("EXSHADOW_VSS_TOOL")
    if named is not None and named != "":
        if not Path(named).is_file():
            raise NotFoundError(f"{named} is not there", hint="name the tool with --tool")
        return Tool(named, words, environment=environment)
    if os.name != "nt":
        return None
    beside = Path(__file__).with_name(NAME)
    found = str(beside) if beside.is_file() else shutil.which(NAME)
    if found is None:
        raise NotFoundError(f"{NAME} is not there", hint="put it on PATH, or name it with --tool")
    return Tool(found, words, environment=environment)


def _text(written: bytes) -> str:
    return written.decode("utf-8", "replace")


def _error_of(plain: dict[str, Any] | None) -> Error | None:
    if plain is None:
        return None
    code, message = from_plain(str, plain["code"]), from_plain(str, plain["message"])
    hresult = from_plain(int, plain.get("hresult") or 0)
    return make(code, message, from_plain(str, plain.get("hint") or ""), hresult)


def _procedures(error: Error | None, part: object) -> Error | None:
    """The procedure's own error: that of a program is told by Command.error()."""
    if isinstance(part, Command) and error is not None and error.code == "internal":
        part.failed = True
        return None
    return error


def _report(kind: type[T], plain: dict[str, Plain], *without: str) -> T:
    return from_plain(kind, {k: v for k, v in plain.items() if k not in without and v is not None})


def _with_documents(report: BackupReport, folder: Path) -> BackupReport:
    """The documents that the tool saved, as the report holds them."""
    if not folder.is_dir():
        return report
    texts = {one.name: one.read_bytes().decode("utf-8-sig") for one in folder.glob("*.xml")}
    main = next((text for text in texts.values() if "<BACKUP_COMPONENTS" in text[:200]), "")
    writers = {one.status.instance_id: one.status for one in report.writers}
    documents = []
    for text in texts.values():
        for id, status in writers.items():
            if "<WRITER_METADATA" in text[:200] and str(id) in text.lower():
                documents.append(WriterDocument(status.writer_id, id, status.name, text))
                break
    return replace(report, document=main, writer_documents=documents)
