"""/v1/jobs: what runs, how far it is, stopping it; progress as server-sent events.

Events: ``note`` (``{"note"}``), ``progress`` (the job), ``usable`` (an instant restore: production
is the snapshot from now on, ``{"job","kept"}``), and as the last one ``end``
(``{"job","result","error"}``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from exshadow.api import bodies
from exshadow.api.daemon import Here
from exshadow.model import Json
from exshadow.service.tasks import Task
from exshadow.wire import error_json

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_BEAT_SECONDS = 15.0


@router.get("", response_model=bodies.JobsAnswer)
def list_jobs(here: Here) -> Json:
    """Jobs of this daemon, oldest first; finished ones are forgotten in time."""
    return {"jobs": [task.to_json() for task in here.tasks.all()]}


@router.get("/{id}", response_model=bodies.JobAnswer)
def show_job(here: Here, id: str) -> Json:
    """One job; ``result`` when it is done."""
    task = here.tasks.find(id)
    return {"job": task.to_json(), "result": task.result}


@router.delete("/{id}", status_code=202, response_model=bodies.JobAnswer)
def cancel_job(here: Here, id: str) -> Json:
    """Ask a job to stop; what it did is kept, and it can be continued."""
    task = here.tasks.find(id)
    task.cancel()
    return {"job": task.to_json()}


@router.get("/{id}/events", response_class=StreamingResponse)
async def job_events(here: Here, id: str) -> StreamingResponse:
    """Notes and progress of a job as they come, then its end."""
    events = _events(here.tasks.find(id))
    return StreamingResponse(events, media_type="text/event-stream")


async def _events(task: Task) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    fresh = asyncio.Event()

    def heard() -> None:
        loop.call_soon_threadsafe(fresh.set)

    leave = task.listen(heard)
    told, usable = 0, False
    try:
        while True:
            fresh.clear()
            ended = task.finished.is_set()
            for text in task.notes[told:]:
                told += 1
                yield _event("note", {"note": text})
            if ended:
                break
            if task.usable and not usable:
                usable = True
                kept = task.kept.to_json() if task.kept else None
                yield _event("usable", {"job": task.to_json(), "kept": kept})
            if task.record is not None:
                yield _event("progress", task.to_json())
            try:
                await asyncio.wait_for(fresh.wait(), _BEAT_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
        error = error_json(task.error) if task.error else None
        yield _event("end", {"job": task.to_json(), "result": task.result, "error": error})
    finally:
        leave()


def _event(kind: str, document: Json) -> str:
    return f"event: {kind}\ndata: {json.dumps(document)}\n\n"
