"""What every request passes on its way in and out: the loopback rule, a request id, metrics, a log line without ids."""

import logging
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tastefeed.serving.keys import NotLocal, check_local
from tastefeed.serving.metrics import Metrics
from tastefeed.serving.problems import problem_of

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
        if self._local_only:
            client = scope.get("client")
            try:
                check_local(Headers(scope=scope).get("host", ""), client[0] if client else None)
            except NotLocal as error:
                return problem_of(error)
        return self._app

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        # the template, never the path: that one holds user ids
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.observe(method, route, status, seconds)
        LOG.info("%s %s %d %.1f ms", method, route, status, 1000 * seconds)
