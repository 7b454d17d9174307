"""Rate limits: how many requests of one key a worker admits in a period."""

import math
import time
from http import HTTPStatus

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.exceptions import HTTPException

from contracts import Settings
from contracts.errors import BadSetting
from serving.api_keys import digest_of


class RateLimits:
    """Counts the requests of each key, under a digest of the key. Each worker counts on its own."""

    def __init__(self, settings: Settings) -> None:
        """The limits of `TASTEFEED_RATE_LIMIT`, which all hold. Raises `BadSetting`."""
        self._limits = _parsed(settings.rate_limit)
        self._counts = FixedWindowRateLimiter(MemoryStorage())

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return bool(self._limits)

    def count(self, key: str) -> None:
        """Count one request of a valid key. Raises `HTTPException` 429 with `Retry-After` above a limit."""
        name = digest_of(key).hex()
        for limit in self._limits:
            if not self._counts.hit(limit, name):
                text = f"this key may send {limit} (TASTEFEED_RATE_LIMIT); wait as many seconds as Retry-After has"
                raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, text, {"Retry-After": self._wait_s(limit, name)})

    def _wait_s(self, limit: RateLimitItem, name: str) -> str:
        ends_at = self._counts.get_window_stats(limit, name).reset_time
        return str(max(1, math.ceil(ends_at - time.time())))


def _parsed(text: str) -> list[RateLimitItem]:
    try:
        limits = parse_many(text) if text.strip() else []
    except ValueError:
        limits = []
    if text.strip() and not (limits and all(limit.amount > 0 for limit in limits)):
        raise BadSetting(
            f"TASTEFEED_RATE_LIMIT: {text!r} is no limit; write one as in 100/second, two as in 20/second;600/minute"
        )
    return limits
