"""Errors as RFC 9457 problem documents, with one table from tastefeed's errors to status codes."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from contracts import errors
from contracts.switches import BadSwitch, UnknownSwitch
from serving.cursor import BadCursor, CursorExpired
from serving.http.auth import NotAllowed, NotAuthenticated, NotLocal
from serving.http.security_headers import HEADERS as SECURITY_HEADERS

REQUEST_ID = "X-Request-Id"
MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[Exception], HTTPStatus] = {
    BadCursor: HTTPStatus.BAD_REQUEST,
    CursorExpired: HTTPStatus.GONE,
    errors.BadId: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotLocal: HTTPStatus.FORBIDDEN,
    errors.UnknownOptOut: HTTPStatus.NOT_FOUND,
    UnknownSwitch: HTTPStatus.NOT_FOUND,
    BadSwitch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.OptOutStoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EventStoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ReleaseMissing: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ReleaseCorrupt: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TastefeedError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of each error; the nearest base class counts."""
CLOSE = {"Connection": "close"}
"""Headers of an answer that is sent before the request was read to its end."""
MAX_PARTS, MAX_NAME_LENGTH = 100, 64
RETRY_AFTER = {"Retry-After": "1"}
HEADERS = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="tastefeed"'},
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY_AFTER,
}


class Overloaded(HTTPException):
    """The process answers too many other requests."""


class Problem(BaseModel):
    """RFC 9457. `type` names the kind of error, `detail` describes this one."""

    type: str = Field(description="urn:tastefeed:problem:…, or about:blank where the status is enough")
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(None, description="each invalid part of the request: where, and why")


def add_error_handlers(app: FastAPI) -> None:
    """Make the application answer every error with a problem document."""
    app.add_exception_handler(errors.TastefeedError, _domain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def problem_of(error: Exception) -> JSONResponse:
    """The answer to one of tastefeed's errors."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return _answer(status, str(error), kind=slug_of(error), headers=HEADERS.get(status))


def problem_of_request(error: RequestValidationError) -> JSONResponse:
    """The answer to a request with invalid parts. The invalid values stay out, because they may be ids."""
    parts = [{"where": _where(part["loc"]), "why": part["msg"]} for part in error.errors()[:MAX_PARTS]]
    detail = "; ".join(f"{part['where']}: {part['why']}" for part in parts[:3])
    return _answer(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", parts=parts)


def problem_of_http(error: HTTPException) -> JSONResponse:
    """The answer to an error that carries its own status."""
    kind = slug_of(error) if isinstance(error, Overloaded) else None
    return _answer(HTTPStatus(error.status_code), error.detail, kind=kind, headers=error.headers)


def problem_text(status: HTTPStatus, detail: str) -> str:
    """A problem document as text, for the protocol, which answers without the application."""
    return _answer(status, detail).body.decode()  # type: ignore[union-attr]


async def _domain(request: Request, error: Exception) -> JSONResponse:
    request.state.problem = slug_of(error)
    return problem_of(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    return problem_of_request(error if isinstance(error, RequestValidationError) else RequestValidationError([]))


def _where(steps: Sequence[Any]) -> str:
    """The place of an invalid part. The name of an unknown field is any text of the client, so it is shortened."""
    names = [str(step).encode("utf-8", "backslashreplace").decode()[:MAX_NAME_LENGTH] for step in steps]
    return ".".join(names)


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return await _unexpected(request, error)
    if isinstance(error, Overloaded):
        request.state.problem = slug_of(error)
    answer = problem_of_http(error)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_allowed(request))
    return answer


def _allowed(request: Request) -> list[str]:
    """The methods of all routes with this path; each method may have a route of its own."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", ())})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # this answer bypasses the middleware that adds these headers to all others
    headers = {**SECURITY_HEADERS, REQUEST_ID: getattr(request.state, "request_id", "")}
    detail = f"{type(error).__name__}; the server's log has the details"
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, detail, headers=headers)


def _answer(
    status: HTTPStatus,
    detail: str,
    *,
    kind: str | None = None,
    parts: list[dict[str, Any]] | None = None,
    headers: Any = None,
) -> JSONResponse:
    kind = f"urn:tastefeed:problem:{kind}" if kind else "about:blank"
    problem = Problem(type=kind, title=status.phrase, status=status, detail=detail, errors=parts)
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, media_type=MEDIA_TYPE)


def slug_of(error: Exception) -> str:
    """The last part of the type of a problem: the error's name in lower case."""
    name = type(error).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
