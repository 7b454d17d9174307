"""What every request passes on its way in and out: what is refused before any route, a request id, metrics, a log line
without ids."""

import logging
import time
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tastefeed.serving.keys import NotLocal, check_local
from tastefeed.serving.metrics import Metrics
from tastefeed.serving.problems import problem_of, problem_of_http

LOG = logging.getLogger("tastefeed.requests")
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}


class Doorway:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, local_only: bool) -> None:
        """`local_only`: refuse whoever is not on this machine, for there are no keys."""
        self._app, self._metrics, self._local_only = app, metrics, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = uuid4().hex
            await send(message)

        try:
            await self._admitted(scope)(scope, receive, sent)
        finally:
            self._tell(scope, status, time.perf_counter() - started)

    def _admitted(self, scope: Scope) -> ASGIApp:
        try:
            if self._local_only:
                client = scope.get("client")
                check_local(Headers(scope=scope).get("host", ""), client[0] if client else None)
            decode_target(scope)
        except NotLocal as error:
            return problem_of(error)
        except HTTPException as error:
            return problem_of_http(error)
        return self._app

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        # the template, never the path: that one holds user ids
        route = getattr(scope.get("route"), "path_format", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.observe(method, route, status, seconds)
        LOG.info("%s %s %d %.1f ms", method, route, status, 1000 * seconds)


def decode_target(scope: Scope) -> None:
    """Decode the path from the bytes that came; refuse a path or query that is not UTF-8. Servers replace such bytes
    with U+FFFD, which makes another id of it. Raises `HTTPException` 422."""
    try:
        if raw_path := scope.get("raw_path"):
            scope["path"] = unquote_to_bytes(raw_path).decode()
        parse_qsl(scope["query_string"].decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise HTTPException(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "the address is not UTF-8 once its percent-encoding is decoded; percent-encode the UTF-8 bytes of an id",
        ) from None
