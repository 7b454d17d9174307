"""Rate limits: how many requests of one key a server admits in a period, over all of its workers."""

import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
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

LOG = logging.getLogger("tastefeed.rate_limits")
COUNTS_FILE = "SERVER_RATE_COUNTS"
"""The variable with the file in which the workers of a server count; the server sets it."""
UNSHARED = (
    "the file of TASTEFEED_RATE_LIMIT cannot be written: %s; each worker counts on its own, so a key may send several "
    "times its limit; free space in the folder of temporary files (TMPDIR)"
)


class RateLimits:
    """Counts the requests of each key, under a digest of the key. The workers of a server count together, in a file.
    While it cannot be written, each counts on its own, and a key may send as many times its limit as there are
    workers."""

    def __init__(self, settings: Settings, on_unshared: Callable[[], object] = lambda: None) -> None:
        """The limits of `TASTEFEED_RATE_LIMIT`, which all hold. `on_unshared` is called for each count that the other
        workers do not see. Raises `BadSetting`."""
        self._limits, self._on_unshared = _parsed(settings.rate_limit), on_unshared
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._path = os.environ.get(COUNTS_FILE)
        self._shared: FixedWindowRateLimiter | None = None
        self._is_logged = False
        if self._limits and self._path:
            with suppress(StorageError):  # each request tries again, and the first one logs it
                self._opened(self._path)

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return bool(self._limits)

    def count(self, key: str) -> None:
        """Count one request of a valid key. Raises `HTTPException` 429 with `Retry-After` above a limit."""
        name = digest_of(key).hex()
        for limit in self._limits:
            if wait_s := self._wait_s(limit, name):
                text = f"this key may send {limit} (TASTEFEED_RATE_LIMIT); wait as many seconds as Retry-After has"
                raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, text, {"Retry-After": str(wait_s)})

    def _wait_s(self, limit: RateLimitItem, name: str) -> int:
        if self._path is None:
            return _counted(self._own, limit, name)
        try:
            return _counted(self._opened(self._path), limit, name)
        except StorageError as error:
            self._on_unshared()
            if not self._is_logged:
                LOG.error(UNSHARED, error)
            self._is_logged = True
            return _counted(self._own, limit, name)

    def _opened(self, path: str) -> FixedWindowRateLimiter:
        if self._shared is None:
            self._shared = FixedWindowRateLimiter(SharedCounts(Path(path)))
        return self._shared


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
