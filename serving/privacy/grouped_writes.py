"""Writes of many threads that share transactions (group commit).

A write that becomes durable syncs files several times, which takes far longer than to execute its statements. So the
writes that arrive while one is under way wait, and the first of them to continue writes all of them together.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from contracts.errors import TastefeedError

Change = TypeVar("Change")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Waiting(Generic[Change, Result]):
    change: Change
    outcome: Future[Result] = field(default_factory=Future)


class GroupedWrites(Generic[Change, Result]):
    """Passes changes on in groups. A change returns once its group is written."""

    def __init__(self, write: Callable[[Sequence[Change]], Sequence[Result]]) -> None:
        """`write` makes some changes durable, all or none, in a bounded time, and returns the result of each."""
        self._write = write
        self._turn = threading.Lock()
        self._waiting: list[_Waiting[Change, Result]] = []

    def write(self, change: Change) -> Result:
        """Make one change, with all that wait. Raises what `write` raises."""
        own = _Waiting[Change, Result](change)
        self._waiting.append(own)
        try:
            with self._turn:  # without a limit: a change that gave up could still be written, after a later one
                if not own.outcome.done():
                    self._write_waiting()
            return own.outcome.result()
        finally:
            self._waiting.remove(own)

    def _write_waiting(self) -> None:
        """Write the group. An error is that of every change in it: if each tried again, the last of fifty would wait
        fifty times for a locked store."""
        group = [each for each in tuple(self._waiting) if not each.outcome.done()]
        try:
            results = self._write([each.change for each in group])
        except (TastefeedError, OSError) as error:
            for each in group:
                each.outcome.set_exception(error)
            return
        for each, result in zip(group, results, strict=True):
            each.outcome.set_result(result)
