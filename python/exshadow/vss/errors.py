"""Failures of the Volume Shadow Copy Service: one class for each kind that people catch.

``VssError`` carries the HRESULT with its name, its meaning and what repeating may bring; ``hint``
says what to do. The classes are those of :mod:`exshadow.errors` as well, so that exit statuses and
builtin bases (``ValueError``, ``LookupError``, ``OSError``) hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from exshadow import errors
from exshadow.vss.tables import HRESULT_FACTS, HResult, Retry, WriterState

_UNKNOWN: tuple[Retry, str, str] = ("after_repair", "a code that VSS does not document", "")


class VssError(errors.Error):
    """A call of VSS failed.

    ``hresult`` is the service's answer, ``name`` and ``meaning`` are of the table, ``retry`` is
    one of ``transient`` (wait, then repeat with a new object, at most three times),
    ``after_repair``, ``never``.
    """

    code = "writer_failed"
    exit_status = errors.WriterError.exit_status

    hresult: HResult = HResult.VSS_E_UNEXPECTED
    context: str = ""
    """What was asked of whom, where :func:`failure` made it."""

    @property
    def name(self) -> str:
        """As in ``vsserror.h``: ``VSS_E_BAD_STATE``."""
        return self.hresult.name

    @property
    def meaning(self) -> str:
        """One clause."""
        return facts_of(self.hresult)[1]

    @property
    def retry(self) -> Retry:
        """What repeating the call may bring."""
        return facts_of(self.hresult)[0]


class BadState(errors.RefusedError, VssError):
    """The call is not allowed now: the order of calls was broken."""


class InvalidArgument(errors.InvalidError, VssError):
    """An argument is wrong or missing."""


class ObjectNotFound(errors.NotFoundError, VssError):
    """No such snapshot, set, volume, component, writer or provider."""


class AlreadyExists(errors.ExistsError, VssError):
    """It is there already."""


class AccessDenied(errors.PermissionRefusedError, VssError):
    """The caller may not do this."""


class NotSupported(errors.UnsupportedError, VssError):
    """This system, provider, volume or context cannot do it."""


class InvalidDocument(errors.CorruptError, VssError):
    """The text is no usable document of VSS."""


class InsufficientStorage(errors.NoSpaceError, VssError):
    """No room for the snapshot."""


class Busy(errors.BusyError, VssError):
    """Somebody else is at it; waiting helps."""


class SnapshotSetInProgress(Busy):
    """Another snapshot set is being made on this machine."""


class StepCancelled(errors.CancelledError, VssError):
    """An asynchronous step was stopped on request."""


class ProviderFailure(errors.WriterError, VssError):
    """A provider failed or refused."""


class HeldTooLong(errors.WriterError, VssError):
    """Writes or applications could not be held still for as long as it took."""


class WriterFailure(errors.WriterError, VssError):
    """A writer failed, refused or was cut off; the set it was needed for is gone.

    ``writer_name`` and ``writer_id`` say which, ``state`` at which event, ``application_message``
    what the application itself said.
    """

    writer_name: str = ""
    writer_id: UUID | None = None
    instance_id: UUID | None = None
    state: WriterState = WriterState.UNKNOWN
    application_message: str = ""


_H = HResult
# The same kinds as cpp/vss/hresult.cpp gives; tests/python compares the two.
_KINDS: Mapping[type[VssError], tuple[HResult, ...]] = {
    BadState: (_H.VSS_E_BAD_STATE,),
    InvalidArgument: (_H.E_INVALIDARG, _H.E_POINTER),
    AccessDenied: (_H.E_ACCESSDENIED,),
    NotSupported: (
        _H.E_NOTIMPL,
        _H.E_NOINTERFACE,
        _H.VSS_E_VOLUME_NOT_SUPPORTED,
        _H.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
        _H.VSS_E_UNSUPPORTED_CONTEXT,
        _H.VSS_E_NOT_SUPPORTED,
    ),
    ObjectNotFound: (_H.VSS_E_OBJECT_NOT_FOUND, _H.VSS_E_PROVIDER_NOT_REGISTERED),
    AlreadyExists: (_H.VSS_E_OBJECT_ALREADY_EXISTS,),
    SnapshotSetInProgress: (_H.VSS_E_SNAPSHOT_SET_IN_PROGRESS,),
    Busy: (
        _H.VSS_E_VOLUME_IN_USE,
        _H.VSS_E_REVERT_IN_PROGRESS,
        _H.VSS_E_RESYNC_IN_PROGRESS,
        _H.VSS_E_PROVIDER_IN_USE,
    ),
    InvalidDocument: (_H.VSS_E_CORRUPT_XML_DOCUMENT, _H.VSS_E_INVALID_XML_DOCUMENT),
    InsufficientStorage: (_H.VSS_E_INSUFFICIENT_STORAGE,),
    StepCancelled: (_H.VSS_S_ASYNC_CANCELLED,),
    ProviderFailure: (_H.VSS_E_PROVIDER_VETO, _H.VSS_E_UNEXPECTED_PROVIDER_ERROR),
    HeldTooLong: (_H.VSS_E_FLUSH_WRITES_TIMEOUT, _H.VSS_E_HOLD_WRITES_TIMEOUT),
    WriterFailure: (
        _H.VSS_E_UNEXPECTED_WRITER_ERROR,
        _H.VSS_E_WRITER_INFRASTRUCTURE,
        _H.VSS_E_WRITER_NOT_RESPONDING,
        _H.VSS_E_WRITER_STATUS_NOT_AVAILABLE,
        _H.VSS_E_WRITERERROR_PARTIAL_FAILURE,
        _H.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT,
        _H.VSS_E_WRITERERROR_OUTOFRESOURCES,
        _H.VSS_E_WRITERERROR_TIMEOUT,
        _H.VSS_E_WRITERERROR_RETRYABLE,
        _H.VSS_E_WRITERERROR_NONRETRYABLE,
        _H.VSS_E_WRITERERROR_RECOVERY_FAILED,
    ),
}
_BY_HRESULT = {value: kind for kind, values in _KINDS.items() for value in values}


def facts_of(hresult: HResult) -> tuple[Retry, str, str]:
    """Retry, meaning and advice; of a value that the table lacks what fits any."""
    return HRESULT_FACTS.get(hresult, _UNKNOWN)


def is_failure(hresult: int) -> bool:
    """Whether an HRESULT says that something failed."""
    return bool(hresult & 0x80000000)


def hresult_text(hresult: HResult) -> str:
    """``VSS_E_BAD_STATE (0x80042301)``, or the bare number when the table lacks it."""
    number = f"0x{int(hresult) & 0xFFFFFFFF:08X}"
    return f"{hresult.name} ({number})" if hresult in HRESULT_FACTS else number


def make(code: str, message: str, hint: str, hresult: int) -> errors.Error:
    """The exception for an error of cpp/vss: a VssError where there is an HRESULT, else as the
    engine's. The native module and the driver of the tool raise through it."""
    value = HResult(hresult & 0xFFFFFFFF)
    if value == HResult.S_OK or value not in HRESULT_FACTS:  # an errno, not the service's answer
        return errors.make(code, message, hint, os_error=hresult)
    error = _BY_HRESULT.get(value, VssError)(message, hint=hint)
    error.hresult = value
    return error


def failure(hresult: HResult, context: str) -> VssError:
    """The error of a failed call: ``CONTEXT: NAME (0x...): meaning``, with the table's advice.

    Writers and providers raise it to choose the code that the requestor sees:
    ``raise failure(HResult.VSS_E_WRITERERROR_RETRYABLE, "the log disk is full")``.
    """
    _, meaning, hint = facts_of(hresult)
    error = _BY_HRESULT.get(hresult, VssError)(
        f"{context}: {hresult_text(hresult)}: {meaning}", hint=hint
    )
    error.hresult, error.context = hresult, context
    return error


def writer_failure(
    name: str,
    failure: HResult,
    state: WriterState,
    *,
    writer_id: UUID | None = None,
    instance_id: UUID | None = None,
    application_message: str = "",
) -> WriterFailure:
    """The error of a writer that failed: ``NAME (0x...): writer 'X' failed_at_freeze: meaning``."""
    _, meaning, hint = facts_of(failure)
    said = f"; it said: {application_message}" if application_message else ""
    message = f"{hresult_text(failure)}: writer '{name}' {state.word}: {meaning}{said}"
    error = WriterFailure(message, hint=hint)
    error.hresult, error.state = failure, state
    error.writer_name, error.writer_id, error.instance_id = name, writer_id, instance_id
    error.application_message = application_message
    return error
