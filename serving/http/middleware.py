"""ASGI middleware, in the order of a request: id and metrics (`RequestMiddleware`), cross-origin rules (`add_cors`),
authentication and limits (`AdmissionMiddleware`), load shedding, compression (`CompressionMiddleware`). No byte of a
body is read before a request is admitted.

The server's protocol (`protocol`) limits a request before its headers are complete.
"""

import asyncio
import logging
import re
import time
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import uuid4

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts import Settings
from contracts.errors import BadSetting
from serving.http.api_keys import HOW_TO_SET_KEYS, ApiKeys, Role
from serving.http.auth import NotAuthenticated, NotLocal, check_local, key_of, require
from serving.http.error_handlers import CLOSE, REQUEST_ID, problem_of, problem_of_http
from serving.http.rate_limits import RateLimits
from serving.http.request_metrics import RequestMetrics
from serving.http.request_tracing import TRACE_HEADERS, AnsweredRequest, RequestTracer
from serving.http.security_headers import SecurityHeaders

LOG = logging.getLogger("tastefeed.requests")
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
ORIGIN = re.compile(r"https?://[^/?#@\s]+")
CORS_MAX_AGE_S = 600
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
"""Limit of all names and values together."""
MAX_URL_BYTES = 16 * 1024
"""Limit of path and query: an id of 512 characters needs up to 6 KiB, percent-encoded."""
MAX_QUERY_PARAMETERS = 100
MIN_COMPRESSED_BYTES = 1000
PATHS_WITH_KEYS = "/v1/"
GIVEN_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
"""An `X-Request-Id` that is kept: safe in logs and headers, and as an id in events."""


class RequestMiddleware:
    """Gives each request an id, and each answer the security headers; counts and logs the answer. Handlers find the id
    in `request.state.request_id`, and set `request.state.release` to the release that they answer from."""

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics, security_headers: SecurityHeaders) -> None:
        """Counts answers in `metrics`."""
        self._app, self._metrics, self._security_headers = app, metrics, security_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_ns, started = time.time_ns(), time.perf_counter()
        status, request_id = 500, request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._security_headers.add_to(message)
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, started_ns, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, started_ns: int, seconds: float) -> None:
        # the route's template, never the path, because the path contains user ids
        route = getattr(scope.get("route"), "path_format", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.observe(method, route, status, seconds, scope["state"].get("problem"))
        fields = {"method": method, "route": route, "status": status, "latency_ms": round(1000 * seconds, 1)}
        own = {name: scope["state"].get(name) for name in ("request_id", "release")}
        LOG.info("%s %s %d %.1f ms", *fields.values(), extra={**fields, **own})
        tracer: RequestTracer | None = scope["app"].state.tracer
        if tracer is not None:
            stages, headers = scope["state"].get("stages", ()), _trace_headers(scope)
            tracer.record(AnsweredRequest(method, route, status, started_ns, seconds, own["release"], stages, headers))


def _trace_headers(scope: Scope) -> dict[str, str]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return {name: headers[name] for name in TRACE_HEADERS if name in headers}


def request_id_of(scope: Scope) -> str:
    """The id that the client sent, if it sent one sane `X-Request-Id`; otherwise a new one."""
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == REQUEST_ID.lower().encode()]
    return given[0] if len(given) == 1 and GIVEN_REQUEST_ID.fullmatch(given[0]) else uuid4().hex


class CompressionMiddleware(GZipMiddleware):
    """Compresses answers on request. Pages stay as they are: beside the feed they contain text of the address, so their
    compressed length would reveal the feed to another site that chooses the address (BREACH)."""

    def __init__(self, app: ASGIApp) -> None:
        """Short answers would not get shorter. Level 5 takes a third of the time of 9, for a few percent more bytes."""
        excluded = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "text/html")
        super().__init__(app, minimum_size=MIN_COMPRESSED_BYTES, compresslevel=5, exclude_content_types=excluded)


def origins_of(settings: Settings) -> list[str]:
    """The origins of `TASTEFEED_CORS_ORIGINS`, whose pages may call the server from a browser; by default none.

    Raises `BadSetting` for text that a browser never sends as an origin, and for `*` without keys: then any web page
    could read and change data on this machine.
    """
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if "*" in origins and not ApiKeys(settings).any:
        raise BadSetting(f"TASTEFEED_CORS_ORIGINS: * needs keys; name the origins, or {HOW_TO_SET_KEYS}")
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise BadSetting(
                f"TASTEFEED_CORS_ORIGINS: {origin!r} is no origin; write it as in https://example.org:8443"
            )
    return [origin.lower() for origin in origins]


def add_cors(app: FastAPI, origins: list[str]) -> None:
    """Let pages of these origins call. They may send an API key, but never credentials that a browser stores."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", REQUEST_ID],
            allow_credentials=False,
            expose_headers=[REQUEST_ID],
            max_age=CORS_MAX_AGE_S,
        )


class AdmissionMiddleware:
    """Refuses a request with a problem document, or passes it on with a body of limited size and duration."""

    def __init__(
        self, app: ASGIApp, *, keys: ApiKeys, rates: RateLimits, max_body_bytes: int, body_timeout_s: float
    ) -> None:
        """Without keys, only requests of this machine are admitted."""
        self._app, self._keys, self._rates = app, keys, rates
        self._max_body_bytes, self._body_timeout_s = max_body_bytes, body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except (NotAuthenticated, NotLocal) as error:
            await problem_of(error)(scope, receive, send)
        except HTTPException as error:
            await problem_of_http(error)(scope, receive, send)
        else:
            await self._app(scope, _Body(receive, self._max_body_bytes, self._body_timeout_s), send)

    def _check(self, scope: Scope) -> None:
        check_head(scope)
        request = Request(scope)
        if not self._keys.any:
            check_local(request.headers.get("host", ""), request.client.host if request.client else None)
        elif scope["path"].startswith(PATHS_WITH_KEYS):
            # routes check the role, but FastAPI reads the body before
            require(self._keys, request, Role.FEED)
        if self._rates.any and self._keys.role(key := key_of(request)):
            self._rates.count(key)
        decode_target(scope)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)


class _Body:
    """`receive` for a body that is limited in bytes and in duration."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive, self._max_bytes, self._timeout_s = receive, max_bytes, timeout_s
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._size, self._is_complete = 0, False

    async def __call__(self) -> Message:
        if self._is_complete:  # from here on the call waits for the client to disconnect
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            text = f"the body did not arrive within {self._timeout_s:g} seconds; send it faster or in smaller batches"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, text, CLOSE) from None
        self._size += len(message.get("body", b""))
        if self._size > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._is_complete = not message.get("more_body", False)
        return message


def check_head(scope: Scope) -> None:
    """Refuse too many or too long headers, a long address, and many query parameters. Raises `HTTPException`."""
    headers, query = scope["headers"], scope["query_string"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        text = f"send at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES:,} bytes together"
        raise HTTPException(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text, CLOSE)
    if len(scope.get("raw_path") or scope["path"]) + len(query) > MAX_URL_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_URI_TOO_LONG, f"path and query may have {MAX_URL_BYTES:,} bytes", CLOSE)
    if query.count(b"&") >= MAX_QUERY_PARAMETERS:
        text = f"send at most {MAX_QUERY_PARAMETERS} query parameters"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, text)


def decode_target(scope: Scope) -> None:
    """Decode the path from its raw bytes. Raises `HTTPException` 422 for a path or query that is not UTF-8, because
    servers replace such bytes by U+FFFD, which changes an id."""
    try:
        if raw_path := scope.get("raw_path"):
            scope["path"] = unquote_to_bytes(raw_path).decode()
        parse_qsl(scope["query_string"].decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        text = "the address is not UTF-8 once its percent-encoding is decoded; percent-encode the UTF-8 bytes of an id"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, text) from None


def _too_large(most: int) -> HTTPException:
    text = f"a body may have {most:,} bytes (TASTEFEED_MAX_BODY_BYTES); send smaller batches"
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, CLOSE)
