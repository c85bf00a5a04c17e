"""Only the daemon's own user and root may speak to the control socket, whatever its mode became."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

_PATIENCE_SECONDS = 5.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_REFUSAL = json.dumps(
    {
        "error": {
            "code": "permission",
            "message": "this socket answers its own user and root only",
            "hint": "",
        }
    }
).encode()


def peer_uid(connection: socket.socket) -> int:
    """User id of the process at the other end, as the kernel recorded it at connect."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def may_speak(uid: int) -> bool:
    return uid in (0, os.geteuid())


class CheckedProtocol(H11Protocol):
    """HTTP for a peer that may speak; one refusal for any other."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = cast(socket.socket, transport.get_extra_info("socket"))
        self._refused = not may_speak(peer_uid(peer))
        super().connection_made(transport)
        if self._refused:
            self.loop.call_later(_PATIENCE_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Bytes of a refused peer are read, else it would see a reset in place of the answer."""
        if not self._refused:
            super().data_received(data)
            return
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(_REFUSAL)}\r\n"
        head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
        self.transport.write(head.encode() + _REFUSAL)
        self.transport.close()
