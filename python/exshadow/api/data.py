"""Bytes of volumes and snapshots, and whole images: application/octet-stream.

For tools and small amounts; programs that do real I/O use NBD.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from exshadow.api.daemon import Here
from exshadow.errors import Error, InvalidError
from exshadow.model import Json
from exshadow.service.house import HouseDesk
from exshadow.service.local import LocalService

router = APIRouter(prefix="/v1", tags=["data"])

MOST = 32 << 20
"""Bytes that one request may move."""

Offset = Annotated[int, Query(ge=0)]
Length = Annotated[int, Query(ge=0, le=MOST)]


def _bytes(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream")


@router.get("/volumes/{name}/data", response_class=Response)
def read_volume(here: Here, name: str, offset: Offset, length: Length) -> Response:
    return _bytes(here.volume(name).read(offset, length))


@router.put("/volumes/{name}/data", status_code=204)
async def write_volume(
    here: Here, name: str, request: Request, offset: Offset, fua: bool = False
) -> None:
    """Write the body at `offset`; durable after flush, or with `fua`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST:
            raise InvalidError(f"more than {MOST} bytes in one request", hint="write in pieces")
    await run_in_threadpool(lambda: here.volume(name).write(offset, body, fua=fua))


@router.post("/volumes/{name}/zero", status_code=204)
def zero_volume(
    here: Here, name: str, offset: Offset, length: Annotated[int, Query(ge=0)], unmap: bool = False
) -> None:
    here.volume(name).zero(offset, length, unmap=unmap)


@router.post("/volumes/{name}/flush", status_code=204)
def flush_volume(here: Here, name: str) -> None:
    here.volume(name).flush()


@router.get("/volumes/{name}/snapshots/{label}/data", response_class=Response)
def read_snapshot(here: Here, name: str, label: str, offset: Offset, length: Length) -> Response:
    return _bytes(here.snapshot(name, label).read(offset, length))


@router.get("/sets/{id}/image", response_class=StreamingResponse)
def image(here: Here, id: str, since: str | None = None) -> StreamingResponse:
    """The copy of a set of one volume as an image, or as rbd-diff of what changed `since`.

    A connection that ends without the last chunk means that it failed.
    """
    pieces = _pieces(here, id, since)
    first = next(pieces, b"")  # what refuses it is an answer, not a broken stream
    return StreamingResponse(_rest(first, pieces), media_type="application/octet-stream")


def _rest(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _pieces(here: Here, id: str, since: str | None) -> Iterator[bytes]:
    """What an export writes, from a thread that runs it, through a pipe."""
    reader, writer = os.pipe()
    failed: queue.SimpleQueue[Error | None] = queue.SimpleQueue()
    desk = HouseDesk(here.house)

    def run() -> None:
        error: Error | None = None
        try:
            with os.fdopen(writer, "wb") as stream:
                LocalService(desk).export_set(id, None, since=since, stream=stream)
        except Error as problem:
            error = problem
        except OSError as problem:
            error = Error(f"the export failed: {problem}")
        failed.put(error)

    threading.Thread(target=run, name=f"image of {id}", daemon=True).start()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while piece := stream.read(1 << 20):
            yield piece
    if error := failed.get():
        raise error


@router.get("/volumes/{name}/snapshots/{label}/changed")
def changed(here: Here, name: str, label: str, since: str | None = None) -> Json:
    """(offset, length) pairs: where production, or snapshot `since`, may differ from `label`."""
    other = here.snapshot(name, since) if since is not None else None
    return {"changed": here.snapshot(name, label).changed(other).tolist()}
