"""Load shedding: a worker with too many requests refuses further ones at once, and names when to come back.

A request counts from the arrival of its body to the start of its answer. So a client that sends or reads slowly takes
no place. Health checks and metrics never count.
"""

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.error_handlers import RETRY_AFTER, Overloaded, problem_of_http, slug_of

UNLIMITED = {"/healthz", "/readyz", "/metrics"}


class LoadSheddingMiddleware:
    """Answers 503 with `Retry-After` while `max_requests` others are being answered by this process."""

    def __init__(self, app: ASGIApp, *, max_requests: int) -> None:
        """Counts no request yet."""
        self._app, self._max_requests, self._count = app, max_requests, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self._app(scope, receive, send)
            return
        place = _Place(self)

        async def receive_counted() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                place.take()
            return message

        async def send_counted(message: Message) -> None:
            place.leave()
            await send(message)

        try:
            if not _has_body(scope):
                place.take()
            await self._app(scope, receive_counted, send_counted)
        except Overloaded as error:  # only `take` raises it here: the application answers its own errors
            scope.setdefault("state", {})["problem"] = slug_of(error)
            await problem_of_http(error)(scope, receive, send)
        finally:
            place.leave()

    def enter(self) -> None:
        """Count a request. Raises `Overloaded`."""
        if self._count >= self._max_requests:
            text = f"{self._max_requests} requests are being answered (TASTEFEED_MAX_CONCURRENT_REQUESTS); try again"
            raise Overloaded(HTTPStatus.SERVICE_UNAVAILABLE, text, RETRY_AFTER)
        self._count += 1

    def leave(self) -> None:
        """Count a request no longer."""
        self._count -= 1


class _Place:
    """The place of one request, taken and left at most once."""

    def __init__(self, middleware: LoadSheddingMiddleware) -> None:
        self._middleware, self._is_taken, self._is_left = middleware, False, False

    def take(self) -> None:
        if not self._is_taken:
            self._middleware.enter()
            self._is_taken = True

    def leave(self) -> None:
        if self._is_taken and not self._is_left:
            self._is_left = True
            self._middleware.leave()


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
