"""Every error as JSON of one shape, with the status that fits it and never a traceback."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tsloop.errors import (
    IterationNotFoundError,
    JobError,
    ProjectError,
    ReviewConflictError,
    ReviewForbiddenError,
    ReviewInvalidError,
    ReviewLockedError,
    ReviewNotFoundError,
    ReviewStorageError,
    SeriesNotFoundError,
    TsloopError,
)

__all__ = ["ApiError", "add_handlers"]

KINDS: tuple[tuple[type[TsloopError], int, str], ...] = (
    (ReviewInvalidError, 422, "invalid"),
    (ReviewNotFoundError, 404, "not_found"),
    (SeriesNotFoundError, 404, "not_found"),
    (IterationNotFoundError, 404, "not_found"),
    (JobError, 404, "not_found"),
    (ReviewConflictError, 409, "conflict"),
    (ProjectError, 409, "conflict"),
    (ReviewLockedError, 423, "locked"),
    (ReviewForbiddenError, 403, "forbidden"),
    (ReviewStorageError, 503, "storage"),
)
NAMES = {400: "bad_request", 401: "unauthenticated", 404: "not_found", 405: "bad_request"}

logger = logging.getLogger(__name__)


class ApiError(Exception):
    """A refusal that belongs to HTTP itself."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint


def _reply(status: int, code: str, message: str, hint: str = "", **more: Any) -> JSONResponse:
    outside = {key: more.pop(key) for key in ("yours", "theirs", "base", "results") if key in more}
    error = {"code": code, "message": message, "hint": hint, "field": None, **more}
    return JSONResponse({"error": error, **outside}, status)


def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _reply(error.status, error.code, error.message, error.hint)


def _tsloop_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TsloopError)
    details = dict(getattr(error, "details", {}))
    for kind, status, code in KINDS:
        if isinstance(error, kind):
            return _reply(status, details.pop("code", code), error.message, error.hint, **details)
    return _reply(400, "bad_request", error.message, error.hint)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = NAMES.get(error.status_code, "bad_request")
    reply = _reply(error.status_code, code, str(error.detail))
    reply.headers.update(error.headers or {})
    return reply


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return _reply(422, "invalid", f"{field or 'request'}: {first['msg']}.", field=field or None)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return _reply(500, "internal", "The server failed; its log says why. Nothing was saved.")


def _os_error(request: Request, error: Exception) -> JSONResponse:
    return _reply(503, "storage", f"Nothing was saved: {error}.", "Make room on the disk.")


def add_handlers(app: FastAPI) -> None:
    """Answer all errors of an application in one shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(TsloopError, _tsloop_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(Exception, _unexpected)
