"""Errors of exshadow: one class a kind, each with a stable ``code``, a ``hint``, an exit status.

This table is the only place where codes become exit statuses; ``exshadow help exit-codes`` tells
them.
The native engine raises through :func:`make`.
"""

from __future__ import annotations

import errno


class Error(Exception):
    """Base of all errors. ``code`` is stable text, ``hint`` says what to do (may be empty)."""

    code = "internal"
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class InvalidError(Error, ValueError):
    """A wrong argument: what was asked for makes no sense."""

    code = "invalid"
    exit_status = 2


class NotFoundError(Error, LookupError):
    """No such volume, plex, snapshot, set or file."""

    code = "not_found"
    exit_status = 3


class RefusedError(Error):
    """Not permitted in the state found."""

    code = "refused"
    exit_status = 4


class ExistsError(RefusedError):
    """The name or the content is there already."""

    code = "exists"


class PermissionRefusedError(RefusedError, PermissionError):
    """The file or device may not be opened or written."""

    code = "permission"


class NewerVersionError(RefusedError):
    """Written by a newer exshadow."""

    code = "newer_version"


class UnsupportedError(RefusedError):
    """This machine, file system or version cannot do it."""

    code = "unsupported"


class ClosedError(RefusedError):
    """The volume or engine is closed."""

    code = "closed"


class IntegrityError(Error):
    """An integrity check failed, metadata is damaged or contents differ."""

    code = "mismatch"
    exit_status = 5


class CorruptError(IntegrityError):
    """Metadata is damaged."""

    code = "corrupt"


class WriterError(Error):
    """A writer or provider failed."""

    code = "writer_failed"
    exit_status = 6


class ProviderError(WriterError):
    """A provider's product refused, or said what nobody understands."""

    code = "provider_failed"


class IoError(Error, OSError):
    """A read, write or flush failed."""

    code = "io"
    exit_status = 7


class NoSpaceError(IoError):
    """No room for data or metadata."""

    code = "no_space"


class BusyError(Error):
    """Locked or in use by somebody else."""

    code = "busy"
    exit_status = 8


class TimedOutError(Error, TimeoutError):
    """Gave up waiting."""

    code = "timed_out"
    exit_status = 8


class CancelledError(Error):
    """Stopped on request; the state is resumable."""

    code = "cancelled"
    exit_status = 130


class CancelledElsewhereError(CancelledError):
    """The same, and not by whoever waits for it: a daemon that was stopped pauses its jobs."""


_CLASSES: dict[str, type[Error]] = {
    cls.code: cls
    for cls in (
        Error,
        InvalidError,
        NotFoundError,
        RefusedError,
        ExistsError,
        PermissionRefusedError,
        NewerVersionError,
        UnsupportedError,
        ClosedError,
        IntegrityError,
        CorruptError,
        WriterError,
        ProviderError,
        IoError,
        NoSpaceError,
        BusyError,
        TimedOutError,
        CancelledError,
    )
}


def make(code: str, message: str, hint: str = "", os_error: int = 0) -> Error:
    """Build the exception for an engine error. ``os_error`` is errno, 0 where there is none."""
    hint = hint or _SYSTEM_HINTS.get(os_error, "")
    error = _CLASSES.get(code, Error)(message, hint=hint, code=code)
    if os_error and isinstance(error, OSError):
        error.errno = os_error
        error.strerror = message
    return error


_SYSTEM_CODES = {
    errno.ENOENT: "not_found",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EWOULDBLOCK: "busy",
    errno.EBUSY: "busy",
    errno.ETXTBSY: "busy",
    errno.ENOTDIR: "refused",
    errno.EISDIR: "invalid",
    errno.EEXIST: "exists",
}
_SYSTEM_HINTS = {
    errno.EACCES: "look at owner and mode, or run it as root",
    errno.EPERM: "look at owner, mode and attributes (lsattr: immutable), or run it as root",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOENT: "look at the path: nothing is there",
    errno.EROFS: "that file system is mounted read-only: use another, or remount it writable",
    errno.ENOSPC: "make room there and repeat the command",
    errno.EDQUOT: "make room within the quota and repeat the command",
    errno.EIO: "look at the kernel's messages: dmesg",
    errno.EMFILE: "permit more open files: ulimit -n",
}


def from_system(problem: OSError, doing: str = "", hint: str = "") -> Error:
    """The error for what the system refused; IoError where no other class fits."""
    number = problem.errno or 0
    doing = doing or (str(problem.filename) if problem.filename else "")
    reason = problem.strerror or str(problem)
    message = f"{doing}: {reason}" if doing else reason
    hint = hint or _SYSTEM_HINTS.get(number, "")
    return make(_SYSTEM_CODES.get(number, "io"), message, hint, os_error=number)
