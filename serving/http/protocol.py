"""uvicorn's HTTP protocol with the limits that it lacks: on the size and duration of a head, and on an unread body.

A connection is idle, in the head of a request (until its headers are complete), or in its body. A head that is too long
or too late is refused. After an answer that is sent before the body has arrived, the client has `LINGER_S` to end.
"""

import asyncio
import logging
from enum import Enum, auto
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from contracts import Settings
from serving.http.certificate_files import CertificateFiles
from serving.http.connection_balance import BALANCE
from serving.http.error_handlers import MEDIA_TYPE, problem_text
from serving.http.middleware import MAX_HEADER_BYTES, MAX_URL_BYTES
from serving.http.request_metrics import METRICS

LOG = logging.getLogger("tastefeed.requests")
MAX_HEAD_BYTES = MAX_HEADER_BYTES + MAX_URL_BYTES
"""Limit of an incomplete head; `middleware` checks a complete one, with an answer for each part."""
LINGER_S = 2.0


class State(Enum):
    """The part of a request that the client is sending."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As uvicorn creates it."""
        super().__init__(*arguments, **options)
        self._state, self._head_bytes, self._leaving = State.IDLE, 0, False
        self._is_counted, self._ending = False, False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head. The next connection uses a certificate that was replaced."""
        if self.config.ssl is not None:
            _certificate_of(self.config).renew(self.config.ssl)
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]  # a transport in all but its class
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse the data, unless the connection is closing."""
        if self._leaving:
            return
        if self._state is State.IDLE:
            self._await_head()  # line breaks before a request, which the parser skips, count as well
        self._head_bytes += len(data)
        super().data_received(data)
        if self._state is State.HEAD and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            text = f"address and headers may have {MAX_HEAD_BYTES:,} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)

    def on_headers_complete(self) -> None:
        """From here on the application limits the body. A worker with too many connections ends this one."""
        super().on_headers_complete()
        if self.cycle.keep_alive and not self._is_counted:
            self._is_counted = True
            BALANCE.own.opened()
        if not self._ending and self.cycle.keep_alive and not self.pipeline and BALANCE.own.end_one():
            self._ending, self.cycle.keep_alive = True, False
        self._state, self._head_bytes = State.BODY, 0
        self._cancel_timer()

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        lingered = self._timer is not None
        self._state, self._head_bytes = State.IDLE, 0
        self._cancel_timer()
        if lingered:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Give a client whose body was not read a moment to end it."""
        super().on_response_complete()
        if self._state is State.BODY and self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._start_timer(LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse data that is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, f"{msg} Send HTTP/1.1.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer."""
        if self._is_counted:
            BALANCE.own.closed(was_ending=self._ending)
        self._state = State.IDLE
        self._cancel_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The worker listens no more: the others must not end connections that it cannot accept."""
        BALANCE.own.leave()
        super().shutdown()

    def in_request(self) -> bool:
        """Whether a client may still be sending."""
        return self._state is not State.IDLE and (self._state is State.BODY or self._head_bytes > 0)

    def leave(self, transport: asyncio.Transport) -> None:
        """Close after the client has received the answer. Closed at once, the kernel resets a connection with unread
        bytes, and the answer is lost."""
        self._leaving = True
        self.flow.resume_reading()
        transport.write_eof()
        self.abort_later(transport)

    def abort_later(self, transport: asyncio.Transport) -> None:
        """Give the client a moment to end the connection."""
        self._start_timer(LINGER_S, transport.abort)

    def _await_head(self) -> None:
        self._state, self._head_bytes = State.HEAD, 0
        self._start_timer(_head_timeout_s(), self._head_is_late)

    def _head_is_late(self) -> None:
        if self._head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"address and headers may take {_head_timeout_s():g} seconds")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._state is State.HEAD:  # an earlier request: the connection ends with its answer
            self._leaving, self.cycle.keep_alive = True, False
        elif answering and self.cycle.response_started:
            self.transport.close()
        else:
            self._answer(status, text)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = problem_text(status, text).encode()
        head = [f"content-type: {MEDIA_TYPE}", f"content-length: {len(body)}", "connection: close", "", ""]
        self.transport.write(STATUS_LINE[status] + "\r\n".join(head).encode() + body)
        self.transport.close()
        LOG.info("unparsed %d", status)
        if metrics := self.app_state.get(METRICS):
            metrics.observe_unparsed(status)

    def _start_timer(self, seconds: float, then: Any) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, then)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Lingering:
    """A transport whose `close` waits for a client that is still sending."""

    def __init__(self, transport: asyncio.Transport, protocol: LimitedProtocol) -> None:
        self._transport, self._protocol, self._closing = transport, protocol, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._closing:
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        if self._protocol.in_request() and self.can_write_eof():
            self._protocol.leave(self)  # type: ignore[arg-type]
        else:
            self._transport.close()
            if self.get_extra_info("sslcontext"):  # it would wait 30 seconds for an idle client to end TLS
                self._protocol.abort_later(self._transport)


@cache
def _certificate_of(config: Config) -> CertificateFiles:
    """The certificate of this process, which has both files if it ends TLS (`require_certificate`)."""
    return CertificateFiles(Path(config.ssl_certfile or ""), Path(config.ssl_keyfile or ""))


@cache
def _head_timeout_s() -> float:
    return Settings().head_timeout_s
