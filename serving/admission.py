"""What is checked before any route: who may ask, and how much a request may bring. No byte of a body is read before.

The server's own protocol (`protocol`) limits what comes before the headers are complete.
"""

import asyncio
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.auth import Keys, NotAuthenticated, NotLocal, Role, check_local
from serving.error_handlers import CLOSE, problem_of, problem_of_http

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
"""Of all names and values together."""
MAX_URL_BYTES = 16 * 1024
"""Of path and query: an id of 512 characters takes up to 6 KiB, percent-encoded."""
MAX_QUERY_PARAMETERS = 100
KEYED = "/v1/"


class Admission:
    """ASGI middleware. Refuses with a problem document, else hands on a body of limited size and duration."""

    def __init__(self, app: ASGIApp, *, keys: Keys, max_body_bytes: int, body_timeout_s: float) -> None:
        """Without keys, only this machine is let in."""
        self._app, self._keys = app, keys
        self._max_body_bytes, self._body_timeout_s = max_body_bytes, body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit one request."""
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
        elif scope["path"].startswith(KEYED):
            # routes check the role; FastAPI reads the body before it asks them
            self._keys.check(request, Role.FEED)
        decode_target(scope)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)


class _Body:
    """`receive` of a body that is limited in bytes and in the time it may take to arrive."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive, self._max_bytes, self._timeout_s = receive, max_bytes, timeout_s
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._size, self._whole = 0, False

    async def __call__(self) -> Message:
        if self._whole:  # from here on it waits for the client to leave
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
        self._whole = not message.get("more_body", False)
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
    """Decode the path from the bytes that came; refuse a path or query that is not UTF-8. Servers replace such bytes
    with U+FFFD, which makes another id of it. Raises `HTTPException` 422."""
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
