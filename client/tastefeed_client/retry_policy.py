"""Which calls are repeated, and when. Every call may be repeated: a repeated event or opt-out counts once."""

from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
from tenacity import (
    RetryCallState,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

TEMPORARY = {429, 502, 503, 504}


@dataclass(frozen=True)
class RetryPolicy:
    """At most `attempts`, with waits that double from `backoff_s`, plus jitter. The server's `Retry-After` overrides a
    shorter wait. An answer that demands more than `max_wait_s` is not repeated."""

    attempts: int = 4
    backoff_s: float = 0.2
    max_wait_s: float = 10.0

    def tenacity(self) -> dict[str, Any]:
        """The arguments of `tenacity.Retrying` and `AsyncRetrying`. After the last attempt, its result counts."""
        return {
            "retry": retry_if_exception(is_lost_connection) | retry_if_result(self.may_repeat),
            "stop": stop_after_attempt(self.attempts),
            "wait": self.wait_s,
            "retry_error_callback": _last_result,
        }

    def may_repeat(self, response: httpx.Response) -> bool:
        """Whether a later attempt may succeed."""
        return response.status_code in TEMPORARY and _retry_after_s(response) <= self.max_wait_s

    def wait_s(self, state: RetryCallState) -> float:
        """Seconds before the next attempt."""
        backoff = (wait_exponential(self.backoff_s, self.max_wait_s) + wait_random(0, self.backoff_s))(state)
        if state.outcome is None or state.outcome.failed:
            return backoff
        return max(backoff, _retry_after_s(state.outcome.result()))


def is_lost_connection(error: BaseException) -> bool:
    """Whether the next attempt may succeed: a request that was refused here, before it was sent, fails again."""
    refused_here = isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
    return isinstance(error, httpx.TransportError) and not refused_here


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0


def _last_result(state: RetryCallState) -> Any:
    """The response of the last attempt, or its exception."""
    return state.outcome.result() if state.outcome else None
