"""Rate limits: how many requests of one key a server admits in a period, over all of its workers."""

import math
import os
import time
from http import HTTPStatus
from pathlib import Path

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.exceptions import HTTPException

from contracts import Settings
from contracts.errors import BadSetting
from serving.http.api_keys import digest_of
from serving.http.shared_counts import SharedCounts

COUNTS_FILE = "SERVER_RATE_COUNTS"
"""The variable with the file in which the workers of a server count; the server sets it."""


class RateLimits:
    """Counts the requests of each key, under a digest of the key. The workers of a server count together, in a file.
    While it cannot be written, each counts on its own."""

    def __init__(self, settings: Settings) -> None:
        """The limits of `TASTEFEED_RATE_LIMIT`, which all hold. Raises `BadSetting`."""
        self._limits = _parsed(settings.rate_limit)
        self._own = self._counts = FixedWindowRateLimiter(MemoryStorage())
        if self._limits and (path := os.environ.get(COUNTS_FILE)):
            self._counts = FixedWindowRateLimiter(SharedCounts(Path(path)))

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return bool(self._limits)

    def count(self, key: str) -> None:
        """Count one request of a valid key. Raises `HTTPException` 429 with `Retry-After` above a limit."""
        name = digest_of(key).hex()
        for limit in self._limits:
            try:
                wait_s = _counted(self._counts, limit, name)
            except StorageError:
                wait_s = _counted(self._own, limit, name)
            if wait_s:
                text = f"this key may send {limit} (TASTEFEED_RATE_LIMIT); wait as many seconds as Retry-After has"
                raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, text, {"Retry-After": str(wait_s)})


def _counted(counts: FixedWindowRateLimiter, limit: RateLimitItem, name: str) -> int:
    """Count one request; the seconds to wait where it is above the limit, else 0."""
    if counts.hit(limit, name):
        return 0
    return max(1, math.ceil(counts.get_window_stats(limit, name).reset_time - time.time()))


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
