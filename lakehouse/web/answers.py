"""What is answered where there is nothing to show: a page for people, JSON for programs."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import duckdb
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from lakehouse.errors import UserError
from lakehouse.web.reading import NotFound, Refused
from lakehouse.web.rendering import render
from lakehouse.web.streaming import Unsatisfiable

_log = logging.getLogger(__name__)


def problem(scope: Scope | Mapping[str, object], status: HTTPStatus, detail: str) -> Response:
    """The answer to a request that gets none."""
    path = str(scope["path"])
    if path.startswith("/api/") or path.endswith((".mp4", ".jpg", ".zip")) or path == "/healthz":
        return JSONResponse({"detail": detail}, status)
    return render("problem.html", status, title=status.phrase, detail=detail)


def answer_errors(app: FastAPI) -> None:
    """Give every error that is foreseen its answer."""

    @app.exception_handler(NotFound)
    def not_found(request: Request, error: NotFound) -> Response:
        return problem(request.scope, HTTPStatus.NOT_FOUND, str(error))

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        return problem(request.scope, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    @app.exception_handler(Unsatisfiable)
    def unsatisfiable(request: Request, error: Unsatisfiable) -> Response:
        response = problem(request.scope, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, str(error))
        response.headers["Content-Range"] = f"bytes */{error.size_bytes}"
        return response

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}"
            for one in error.errors()
        )
        return problem(request.scope, HTTPStatus.UNPROCESSABLE_ENTITY, said)

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> Response:
        response = problem(request.scope, HTTPStatus(error.status_code), str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(UserError)
    def out_of_reach(request: Request, error: UserError) -> Response:
        _log.warning("%s: %s", request.url.path, error)
        return problem(request.scope, HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    @app.exception_handler(duckdb.Error)
    @app.exception_handler(OSError)
    def broken(request: Request, error: Exception) -> Response:
        _log.warning("%s: %r", request.url.path, error)
        return problem(
            request.scope,
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the lake or the bucket can't be read at the moment; try again, or look at what "
            "`lakehouse doctor` says",
        )
