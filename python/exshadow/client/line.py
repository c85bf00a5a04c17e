"""The line to a daemon: JSON requests over its Unix socket, errors as exceptions, events.

Thread-safe: httpx keeps a pool of connections.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from exshadow.errors import BusyError, ClosedError, Error, NotFoundError, PermissionRefusedError
from exshadow.model import Json
from exshadow.wire import error as error_of

_BASE = "http://exshadow"


def part(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


class Line:
    """Requests to one daemon. Raises what the daemon answered, as the class it stands for.

    NotFoundError when none runs there.
    """

    def __init__(self, control_socket: Path) -> None:
        self.path = control_socket
        self._knock()
        # No time limit: a split or a restore takes what it takes, and Ctrl-C ends the wait.
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(control_socket)),
            base_url=_BASE,
            timeout=httpx.Timeout(None, connect=10.0),
        )

    def close(self) -> None:
        self._client.close()

    def _knock(self) -> None:
        """NotFoundError when nobody listens, PermissionRefusedError when it is not for us."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            try:
                knocking.connect(str(self.path))
            except PermissionError as error:
                raise PermissionRefusedError(
                    f"{self.path} belongs to another user", hint="ask as that user, or as root"
                ) from error
            except OSError as error:
                raise _nobody(self.path) from error

    def get(self, path: str, **query: Any) -> Json:
        return self._json("GET", path, query)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Json:
        return self._json("POST", path, query, body or {})

    def delete(self, path: str, **query: Any) -> Json:
        return self._json("DELETE", path, query)

    def _json(self, method: str, path: str, query: Mapping[str, Any], body: object = None) -> Json:
        with _translated():
            answer = self._client.request(method, path, params=_told(query), json=body)
        _check(answer)
        if answer.status_code == 204:
            return {}
        document = answer.json()
        assert isinstance(document, dict)
        return document

    def read(self, path: str, **query: Any) -> bytes:
        """Bytes of an octet-stream."""
        with _translated():
            answer = self._client.get(path, params=_told(query))
        _check(answer)
        return answer.content

    def write(self, path: str, content: bytes, **query: Any) -> None:
        with _translated():
            answer = self._client.put(path, params=_told(query), content=content)
        _check(answer)

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """Pieces of a long octet-stream."""
        with (
            _translated(),
            self._client.stream("GET", path, params=_told(query)) as answer,
        ):
            if answer.status_code >= 400:
                answer.read()
            _check(answer)
            yield from answer.iter_bytes()

    def events(self, job_id: str) -> Iterator[tuple[str, Json]]:
        """Kind and content of a job's events; the last one is ``end``."""
        kind = ""
        path = f"/v1/jobs/{part(job_id)}/events"
        with _translated(), self._client.stream("GET", path) as answer:
            if answer.status_code >= 400:
                answer.read()
            _check(answer)
            for text in answer.iter_lines():
                name, _, value = text.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)


def _told(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _check(answer: httpx.Response) -> None:
    if answer.status_code < 400:
        return
    error = Error(f"the daemon answered {answer.status_code}")
    with suppress(ValueError, KeyError, TypeError):
        error = error_of(answer.json()["error"])
    raise error


def went_away(why: str) -> BusyError:
    """The daemon was there before: somebody stopped it, or it was killed."""
    return BusyError(
        f"the daemon went away meanwhile: {why}",
        hint="repeat the command: what was begun is finished or undone; without a daemon it is "
        "done by the command itself",
    )


def _nobody(path: Path) -> Error:
    return NotFoundError(f"no daemon answers at {path}", hint="start one with: exshadow serve")


@contextmanager
def _translated() -> Iterator[None]:
    """What goes wrong on the way, as our errors. That somebody answered once is known."""
    try:
        yield
    except httpx.TransportError as error:
        raise went_away(str(error)) from error
    except RuntimeError as error:  # a closed client
        raise ClosedError(f"the connection to the daemon is closed: {error}") from error
