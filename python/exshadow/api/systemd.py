"""Tells systemd how the daemon is: sd_notify's datagrams. Silent where nobody listens."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(*facts: str) -> None:
    """Send e.g. ``READY=1``, ``STATUS=...`` to $NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # Linux's abstract names start with a zero byte
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto("\n".join(facts).encode(), address)


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear ``WATCHDOG=1``: half its limit. None when it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        limit = int(os.environ.get("WATCHDOG_USEC", "0"))
        return limit / 2_000_000 if limit > 0 else None
    return None
