"""Spreads the open connections of a server over its workers.

A connection stays with the worker that accepted it. After many connections at once, or when a worker was replaced, one
worker would do most of the work. A worker with more than its share therefore ends connections, each with the answer to
its next request (`Connection: close`). Their clients connect anew, often to another worker.
"""

import mmap
from multiprocessing.process import BaseProcess

NOT_LISTENING = -1
MOST_WORKERS = 1024


class ConnectionBalance:
    """The open connections of each worker, in memory that is shared with forked workers."""

    def __init__(self) -> None:
        """Without workers: a process that was not assigned a place never ends a connection."""
        self._counts = memoryview(mmap.mmap(-1, 4 * (1 + MOST_WORKERS))).cast("i")  # first, the number of places
        self._workers: list[BaseProcess] = []
        self._place: int | None = None
        self._ending = 0

    def assign(self, worker: BaseProcess) -> None:
        """In the supervisor, before it forks a worker: give it a place that no living worker has."""
        left = (place for place, before in enumerate(self._workers) if not before.is_alive())
        place = next(left, len(self._workers))
        self._workers[place : place + 1] = [worker]
        self._place, self._counts[0] = place + 1, len(self._workers)
        self.leave()

    def listen(self) -> None:
        """This worker is about to accept connections."""
        self._set(0)

    def leave(self) -> None:
        """This worker accepts no more connections."""
        self._set(NOT_LISTENING)

    def opened(self) -> None:
        """Count a connection of this worker."""
        if self._place is not None:
            self._counts[self._place] += 1

    def closed(self, *, was_ending: bool) -> None:
        """Count one less."""
        self._ending -= was_ending
        if self._place is not None:
            self._counts[self._place] -= 1

    def end_one(self) -> bool:
        """Whether a connection should end with its next answer, because this worker has more than its share."""
        if self._place is None:
            return False
        listening = [count for count in self._counts[1 : 1 + self._counts[0]] if count >= 0]
        is_above = (self._counts[self._place] - self._ending - 1) * len(listening) >= sum(listening)
        self._ending += is_above
        return is_above

    def _set(self, count: int) -> None:
        if self._place is not None:
            self._counts[self._place] = count


BALANCE = ConnectionBalance()
"""Of this process: the supervisor's, and the copy of each worker that it forks."""
