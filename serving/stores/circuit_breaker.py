"""A circuit breaker for a dependency that may make its callers wait.

A call that fails after a wait opens the circuit: for `RETRY_S`, other calls fail at once. Then one call at a time tries
again, and the first success closes the circuit. A call that fails at once costs nothing and opens nothing.

Libraries were considered: `pybreaker` runs one call at a time, `circuitbreaker` has no locks.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

RETRY_S = 1.0


class Use(Enum):
    """What a call is for. Each use of a store has its own circuit: a heavy query must not end the reads of feeds."""

    POINT_READ = "reads of one feed"
    BULK_READ = "reads of many users"
    READ = "other reads"
    COUNT = "counts for metrics"
    WRITE = "writes"


class CircuitOpen(OSError):
    """The call was not made, because an earlier one waited in vain."""


class CircuitBreaker:
    """The state of one dependency, shared by the threads of a process."""

    def __init__(self, wait_s: float | None) -> None:
        """A call that may wait `wait_s` counts as waiting after half of that; without a limit, no circuit opens."""
        self._slow_s = math.inf if wait_s is None else wait_s / 2
        self._lock = threading.Lock()
        self._is_failing, self._open_until = False, 0.0

    @contextmanager
    def call(self, *failures: type[Exception]) -> Iterator[None]:
        """Make one call, of which these exceptions are failures. Raises `CircuitOpen`."""
        self._admit()
        started = time.monotonic()
        try:
            yield
        except failures:
            if time.monotonic() - started >= self._slow_s:
                self._set(is_failing=True, open_until=time.monotonic() + RETRY_S)
            raise
        self._set(is_failing=False, open_until=0)

    def _admit(self) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._open_until:
                raise CircuitOpen(f"it did not answer in time, and is asked again within {RETRY_S:g} s")
            if self._is_failing:  # this call tries; the others fail at once until it ends
                self._open_until = now + RETRY_S

    def _set(self, *, is_failing: bool, open_until: float) -> None:
        with self._lock:
            self._is_failing, self._open_until = is_failing, open_until
