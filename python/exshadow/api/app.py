"""The FastAPI application: routes, and every failure as ``{"error":{"code","message","hint"}}``."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from exshadow import __version__
from exshadow.api import bodies, data, jobs, members, metrics, sets, status, volumes
from exshadow.api.daemon import Daemon
from exshadow.api.limit import BodyLimit
from exshadow.errors import Error
from exshadow.model import Json
from exshadow.wire import error_json

# By code first, else by exit status.
_BY_CODE = {"permission": 403, "closed": 503, "no_space": 507, "timed_out": 504}
_BY_EXIT = {2: 400, 3: 404, 4: 409, 5: 422, 6: 502, 7: 500, 8: 423, 130: 409}


def http_status(error: Error) -> int:
    """The HTTP status that fits an error."""
    return _BY_CODE.get(error.code) or _BY_EXIT.get(error.exit_status, 500)


def make_app(daemon: Daemon) -> FastAPI:
    """The application of one daemon."""
    app = FastAPI(
        title="exshadow",
        version=__version__,
        description="Volumes, mirrors, snapshot sets and jobs of one state folder.",
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {"model": bodies.Failure, "description": "refused; nothing was changed"},
            "5XX": {"model": bodies.Failure, "description": "failed"},
        },
    )
    app.state.daemon = daemon
    app.add_middleware(BodyLimit)
    for room in (volumes, sets, members, jobs, data, status, metrics):
        app.include_router(room.router)
    app.add_exception_handler(Error, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unexpected)
    return app


def _answer(status: int, error: Json) -> JSONResponse:
    return JSONResponse({"error": error}, status_code=status)


async def _on_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Error)
    return _answer(http_status(error), error_json(error))


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(str(p) for p in one['loc'])}: {one['msg']}" for one in error.errors()]
    return _answer(
        400, {"code": "invalid", "message": "; ".join(said), "hint": "see /openapi.json"}
    )


async def _on_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "invalid"
    return _answer(
        error.status_code, {"code": code, "message": error.detail, "hint": "see /openapi.json"}
    )


async def _on_unexpected(_request: Request, error: Exception) -> JSONResponse:
    text = f"unexpected {type(error).__name__}: {error}"
    return _answer(500, {"code": "internal", "message": text, "hint": "please report this"})
