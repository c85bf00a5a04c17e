"""Mirrors, application-consistent snapshots and restores of production volumes.

Public names only, and all of them lazy: ``import exshadow`` loads neither the native engine nor
numpy, so that ``exshadow --version`` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exshadow._core import Engine, Job, Server, Snapshot, Volume, inspect, inspect_changed
    from exshadow.client.engine import connect
    from exshadow.errors import (
        BusyError,
        CancelledError,
        ClosedError,
        CorruptError,
        Error,
        ExistsError,
        IntegrityError,
        InvalidError,
        IoError,
        NewerVersionError,
        NoSpaceError,
        NotFoundError,
        PermissionRefusedError,
        RefusedError,
        TimedOutError,
        UnsupportedError,
        WriterError,
    )

__all__ = [
    "BusyError",
    "CancelledError",
    "ClosedError",
    "CorruptError",
    "Engine",
    "Error",
    "ExistsError",
    "IntegrityError",
    "InvalidError",
    "IoError",
    "Job",
    "NewerVersionError",
    "NoSpaceError",
    "NotFoundError",
    "PermissionRefusedError",
    "RefusedError",
    "Server",
    "Snapshot",
    "TimedOutError",
    "UnsupportedError",
    "Volume",
    "WriterError",
    "__version__",
    "connect",
    "inspect",
    "inspect_changed",
]

__version__ = "0.1.0"

_NATIVE = frozenset({"Engine", "Job", "Server", "Snapshot", "Volume", "inspect", "inspect_changed"})
_HOMES = {"connect": "exshadow.client.engine"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "exshadow._core" if name in _NATIVE else _HOMES.get(name, "exshadow.errors")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
