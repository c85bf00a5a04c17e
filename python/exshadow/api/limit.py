"""Requests are small: one that grows past a limit is answered before it is read to its end."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 1 << 20
"""Bytes of a JSON body. Data is put, and has a limit of its own."""


class _TooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: 413 for a body of more than MOST bytes, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "PUT":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > MOST:
            await _REFUSAL(scope, receive, send)
            return
        taken = 0
        begun = False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST:
                raise _TooLarge
            return message

        async def told(message: Message) -> None:
            nonlocal begun
            first, begun = not begun, True
            if taken <= MOST:
                await send(message)
            elif first:  # whatever the application makes of a body that broke off
                await _REFUSAL(scope, receive, send)

        await self._app(scope, counted, told)


_REFUSAL = JSONResponse(
    {
        "error": {
            "code": "invalid",
            "message": f"a request has more than {MOST} bytes",
            "hint": "data goes to PUT /v1/volumes/NAME/data",
        }
    },
    status_code=413,
    headers={"Connection": "close"},
)


def _announced(scope: Scope) -> int:
    """Content-Length; 0 without a sound one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
