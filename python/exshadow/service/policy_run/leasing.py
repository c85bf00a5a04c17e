"""Leases of volumes that other products copy, where hosts share the catalog. The native engine's
are held when they are opened."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from exshadow.errors import NotFoundError
from exshadow.providers.contract import Provider, Source
from exshadow.service import sets
from exshadow.service.keeper import Keeper

_LONGEST = 255  # of a name in the table


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
    keeper: Keeper | None, provider: Provider, volumes: Sequence[Source], purpose: str
) -> Iterator[None]:
    """Hold them with the keeper; those that it had before stay held afterwards. BusyError while
    another host has one."""
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
