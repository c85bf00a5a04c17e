"""Writer: an application whose data is to be quiet for the moment of the snapshot.

Subclass it, name the class, override what matters; VSS's callbacks have their names in snake_case.
They run on threads of the coordinator, one after the other for one writer, and may block: the
coordinator waits only as long as the event's limit (Freeze to Thaw: ``freeze_limit``), then calls
``on_abort``, beside a callback that still runs if need be, and drops what that answers. An
exception is a refusal; its text reaches the requestor. Raise :func:`exshadow.vss.failure` with a
VSS_E_WRITERERROR_... code to choose the code; other exceptions become
VSS_E_WRITERERROR_NONRETRYABLE (TimeoutError: ..TIMEOUT, MemoryError: ..OUTOFRESOURCES).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from exshadow.errors import Error, InvalidError
from exshadow.vss.documents import (
    BackupWriter,
    ComponentFailure,
    DifferencedFile,
    DirectedTarget,
    PartialFile,
    WriterMetadata,
)
from exshadow.vss.errors import VssError
from exshadow.vss.places import Places
from exshadow.vss.plain import Plain, from_plain, to_plain
from exshadow.vss.tables import (
    AlternateWriterState,
    ApplicationLevel,
    HResult,
    RestoreTarget,
    RestoreType,
    SnapshotAttributes,
    SourceType,
    SubscribeMask,
    UsageType,
)
from exshadow.vss.values import NIL, BackupState, milliseconds

if TYPE_CHECKING:
    from exshadow._core import VssWriterCall

T = TypeVar("T")

CONSISTENCIES: Final = ("application", "filesystem", "crash")
"""What a copy may be, best first."""

_ALL_EVENTS = (
    SubscribeMask.POST_SNAPSHOT | SubscribeMask.BACKUP_EVENTS | SubscribeMask.RESTORE_EVENTS
)


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What every writer may know of the session that an event belongs to."""

    session_id: UUID
    set_id: UUID
    context: SnapshotAttributes
    state: BackupState
    restore_type: RestoreType
    volumes: list[str]


@dataclass(slots=True)
class _Answer:
    failure: HResult = HResult.S_OK
    noted: bool = False
    application_failure: HResult = HResult.S_OK
    application_message: str = ""


class WriterCall:
    """One event sent to one writer: what it may know and, where the event permits it, edits of its
    part of the Backup Components Document. Use it inside the callback only."""

    def __init__(self, call: VssWriterCall, answer: _Answer, places: Places | None = None) -> None:
        self._call = call
        self._answer = answer
        self._places = places

    def facts(self) -> SessionFacts:
        """The session, its set and volumes."""
        return from_plain(SessionFacts, self._call.facts())

    def components(self) -> BackupWriter:
        """The writer's components; none in events where the document is closed (PrepareForSnapshot,
        Freeze, Thaw, Abort, BackupShutdown)."""
        return from_plain(BackupWriter, self._call.components())

    def is_path_affected(self, path: str) -> bool:
        """Does the path lie on a volume of the set?"""
        volume = self._places.volume_of(path) if self._places else None
        return volume in self.facts().volumes if volume else self._call.is_path_affected(path)

    def is_path_outside(self, path: str) -> bool:
        """Is it sure that the path lies on no volume of the set? Not where one of them is mounted
        elsewhere, in a virtual machine say."""
        return self._places is not None and self._places.is_outside(path, self.facts().volumes)

    def abandoned(self) -> bool:
        """The coordinator has stopped waiting: whatever is answered is dropped. From any thread."""
        return self._call.abandoned()

    def note_failure(
        self, failure: HResult, message: str = "", *, application: HResult = HResult.S_OK
    ) -> None:
        """Record a failure (a VSS_E_WRITERERROR_... code) that does not stop the event."""
        self._answer.failure, self._answer.noted = failure, True
        self._answer.application_failure, self._answer.application_message = application, message

    # Edits. BadState where the event does not permit it, ObjectNotFound for a component that is
    # not in the backup.

    def set_backup_metadata(self, path: str, name: str, text: str) -> None:
        """PrepareForBackup and PostSnapshot."""
        self._call.set_backup_metadata(path, name, text)

    def set_restore_metadata(self, path: str, name: str, text: str) -> None:
        """PrepareForBackup and PostSnapshot."""
        self._call.set_restore_metadata(path, name, text)

    def set_backup_stamp(self, path: str, name: str, text: str) -> None:
        """PrepareForBackup and PostSnapshot: what later increments are told."""
        self._call.set_backup_stamp(path, name, text)

    def add_partial_file(self, path: str, name: str, file: PartialFile) -> None:
        """PrepareForBackup and PostSnapshot."""
        self._call.add_partial_file(path, name, to_plain(file))

    def add_differenced_file(self, path: str, name: str, file: DifferencedFile) -> None:
        """PrepareForBackup and PostSnapshot."""
        self._call.add_differenced_file(path, name, to_plain(file))

    def set_restore_target(self, path: str, name: str, target: RestoreTarget) -> None:
        """PreRestore."""
        self._call.set_restore_target(path, name, int(target))

    def add_directed_target(self, path: str, name: str, target: DirectedTarget) -> None:
        """PreRestore."""
        self._call.add_directed_target(path, name, to_plain(target))

    def set_pre_restore_failure(self, path: str, name: str, text: str) -> None:
        """PreRestore."""
        self._call.set_pre_restore_failure(path, name, text)

    def set_post_restore_failure(self, path: str, name: str, text: str) -> None:
        """PostRestore."""
        self._call.set_post_restore_failure(path, name, text)

    def set_component_failure(self, path: str, name: str, failure: ComponentFailure) -> None:
        """One component failed; note VSS_E_WRITERERROR_PARTIAL_FAILURE with it."""
        self._call.set_component_failure(path, name, to_plain(failure))


class Writer:
    """Subclass it. Class attributes, or attributes set before it is registered, say who it is."""

    writer_id: UUID
    """Id of the writer class: the same for ever."""
    name: str
    instance_id: UUID = NIL
    """Nil: the coordinator makes one."""
    instance_name: str = ""
    usage: UsageType = UsageType.USER_DATA
    source: SourceType = SourceType.OTHER
    level: ApplicationLevel = ApplicationLevel.FRONT_END
    """Front ends freeze first and thaw last."""
    freeze_limit: float = 60.0
    """Seconds from Freeze to Thaw; databases have 20."""
    abort_limit: float = 0.0
    """Seconds that Abort may take when the freeze's are over, before the guard of an isolated
    coordinator (guard.py) takes the writer's process for hung; the coordinator waits ten."""
    subscribe: SubscribeMask = _ALL_EVENTS
    remark: str = ""
    """What whoever makes a set with it must know, told before it is made."""

    consistency: str = "application"
    """What a copy is that was made while this writer was frozen: ``application``; ``filesystem``
    when it holds file systems and knows no application; ``crash`` when nothing is held."""

    def identify(self) -> WriterMetadata:
        """What the writer holds. Ids, name, usage and source are taken from the attributes."""
        return WriterMetadata(self.writer_id, self.name)

    def on_prepare_backup(self, call: WriterCall) -> None:
        """A backup begins."""

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        """Do what takes long (checkpoints) here, not in Freeze."""

    def on_freeze(self, call: WriterCall) -> None:
        """Hold the data still until Thaw or Abort. When it returns after its Abort, ``on_abort`` is
        called again behind it."""

    def on_thaw(self, call: WriterCall) -> None:
        """Go on."""

    def on_abort(self, call: WriterCall) -> None:
        """Go on, as in Thaw. May come more than once, after Thaw, and while another callback still
        runs. The same as Thaw unless it is overridden."""
        self.on_thaw(call)

    def on_post_snapshot(self, call: WriterCall) -> None:
        """The snapshots exist."""

    def on_backup_complete(self, call: WriterCall) -> None:
        """The requestor has its copies; not promised to come."""

    def on_backup_shutdown(self, call: WriterCall) -> None:
        """The requestor is gone, well or not; always comes."""

    def on_pre_restore(self, call: WriterCall) -> None:
        """Files are going to be put back."""

    def on_post_restore(self, call: WriterCall) -> None:
        """Files are back."""

    def rescue(self) -> None:
        """Thaw the application from a process that is not the one that froze it and knows nothing
        of it: the guard of an isolated coordinator calls it on a new object when the host process
        died. Lift whatever outlives the process: continue a stopped process, end a backup mode.
        May be called when nothing is frozen."""


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """What the coordinator is told of a writer (milliseconds)."""

    writer_id: UUID
    name: str
    instance_id: UUID = NIL
    instance_name: str = ""
    usage: UsageType = UsageType.USER_DATA
    source: SourceType = SourceType.OTHER
    level: ApplicationLevel = ApplicationLevel.FRONT_END
    freeze_limit: int = 60_000
    subscribe: SubscribeMask = field(default=_ALL_EVENTS)
    alternate: AlternateWriterState = AlternateWriterState.NO_ALTERNATE_WRITER


def options_of(writer: Writer) -> WriterOptions:
    """From the writer's attributes; InvalidError when one is missing or wrong."""
    if not isinstance(writer, Writer):
        raise InvalidError(
            f"{writer!r:.100} is no exshadow.vss.Writer", hint="give an object of a subclass of it"
        )
    kind = type(writer).__name__
    for needed in ("writer_id", "name"):
        if not getattr(writer, needed, None):
            raise InvalidError(
                f"{kind} has no {needed}", hint=f"set it as a class attribute: {needed} = ..."
            )
    for name, wanted in _ATTRIBUTES.items():
        found = getattr(writer, name)
        if not isinstance(found, wanted):
            raise InvalidError(
                f"{kind}: {name} is {found!r:.100}", hint=f"it is of the type {wanted.__name__}"
            )
    for name in ("name", "instance_name"):
        if _UNFIT.search(getattr(writer, name)):
            raise InvalidError(
                f"{kind}: {name} is {getattr(writer, name)!r:.100}",
                hint="no document can hold it: leave out its control characters",
            )
    if writer.consistency not in CONSISTENCIES:
        raise InvalidError(
            f"{kind}: consistency is {writer.consistency!r:.100}",
            hint=f"it is one of {', '.join(CONSISTENCIES)}",
        )
    if writer.abort_limit != 0:
        milliseconds(f"{kind}: abort_limit", writer.abort_limit)
    return WriterOptions(
        writer_id=writer.writer_id,
        name=writer.name,
        instance_id=writer.instance_id,
        instance_name=writer.instance_name,
        usage=writer.usage,
        source=writer.source,
        level=writer.level,
        freeze_limit=milliseconds(f"{kind}: freeze_limit", writer.freeze_limit),
        subscribe=writer.subscribe,
    )


_ATTRIBUTES: Mapping[str, type] = {
    "writer_id": UUID,
    "name": str,
    "instance_id": UUID,
    "instance_name": str,
    "usage": int,
    "source": int,
    "level": int,
    "subscribe": int,
}
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # for XML

_CODES: Mapping[type[BaseException], HResult] = {
    TimeoutError: HResult.VSS_E_WRITERERROR_TIMEOUT,
    MemoryError: HResult.VSS_E_WRITERERROR_OUTOFRESOURCES,
}


def failure_of(error: BaseException) -> tuple[HResult, str]:
    """Code and text of a callback's exception, for the requestor."""
    if isinstance(error, VssError):
        return error.hresult, error.context or error.message
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code, text_of(error)
    return HResult.VSS_E_WRITERERROR_NONRETRYABLE, text_of(error)


def text_of(error: BaseException) -> str:
    """``KeyError: 'x'``, as a traceback ends; of our own errors what they say."""
    if isinstance(error, Error):
        return error.message
    return traceback.format_exception_only(error)[-1].strip()


def answer_writer(
    writer: Writer, event: str, call: VssWriterCall, places: Places | None = None
) -> Plain:
    """Call the callback of one event; what it raises becomes its answer. On the coordinator's
    thread."""
    if event == "identify":
        return to_plain(writer.identify())
    answer = _Answer()
    callback: Callable[[WriterCall], None] = getattr(writer, f"on_{event}")
    told = WriterCall(call, answer, places)
    try:
        try:
            callback(told)
        finally:
            if event == "freeze" and call.abandoned():
                writer.on_abort(told)  # the Abort came before this freeze took effect
    except BaseException as error:
        answer.failure, answer.application_message = failure_of(error)
        answer.noted = False
    return to_plain(answer)
