"""Volumes that other products copy, held by what they are: by leases where hosts share the catalog,
else by locks of the state folder, for two groups may have the same volume. The native engine's are
held when they are opened."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from exshadow.errors import BusyError, NotFoundError
from exshadow.providers.contract import Provider, Source
from exshadow.service import sets

_LONGEST = 255  # of a name in the table


class Holder(Protocol):
    """What volumes are held with: a :class:`~exshadow.service.keeper.Keeper` or locks."""

    def hold(self, volume: str, purpose: str = "") -> object:
        """BusyError while somebody else has it."""
        ...

    def holds(self, volume: str) -> bool:
        """Whether it was taken here and not given back."""
        ...

    def let_go(self, volume: str) -> None:
        """Give it back."""
        ...


class VolumeLocks:
    """Locks on files of a folder, which the kernel lifts for a process that is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def hold(self, volume: str, purpose: str = "") -> None:
        """BusyError saying what for, as the other process wrote it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"{hashlib.sha256(volume.encode()).hexdigest()}.lock"
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(lock, 1000, 0).decode(errors="replace") or "another run"
            os.close(lock)
            raise BusyError(f"{volume} is held: {other}", hint="wait for its end") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, purpose.encode(), 0)
        self._held[volume] = lock

    def holds(self, volume: str) -> bool:
        """Whether it was taken here and not given back."""
        return volume in self._held

    def let_go(self, volume: str) -> None:
        """Give it back; quiet when it is not held."""
        lock = self._held.pop(volume, None)
        if lock is not None:
            os.close(lock)


def lease_name(provider: Provider, volume: Source) -> str:
    """By what the volume is: two hosts that reach it by different paths exclude each other, two
    that have other volumes at the same path do not. Where nobody knows what it is, by host and
    path."""
    identity = ""
    with suppress(NotFoundError):  # its device is gone: what was left of it is settled all the same
        identity = provider.identity(volume)
    name = f"{provider.name}:{identity or f'{socket.gethostname()}:{volume.path}'}"
    if len(name.encode()) <= _LONGEST:
        return name
    return f"{provider.name}:sha256:{hashlib.sha256(name.encode()).hexdigest()}"


@contextmanager
def leased(
    keeper: Holder | None, provider: Provider, volumes: Sequence[Source], purpose: str
) -> Iterator[None]:
    """Hold them with the keeper; those that it had before stay held afterwards. BusyError while
    another host or group has one."""
    if keeper is None or provider.name == sets.PROVIDER:
        yield
        return
    taken: list[str] = []
    try:
        for one in volumes:
            name = lease_name(provider, one)
            if not keeper.holds(name):
                keeper.hold(name, purpose)
                taken.append(name)
        yield
    finally:
        for name in taken:
            keeper.let_go(name)
