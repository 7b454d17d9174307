"""Spreads the open connections of a server over its workers.

A connection stays with the worker that accepted it. After many connections at once, or when a worker was replaced, one
worker would do most of the work. A worker with more than its share therefore ends connections, each with the answer to
its next request (`Connection: close`). Their clients connect anew, often to another worker.
"""

import mmap
from multiprocessing.process import BaseProcess

NOT_LISTENING = -1
MOST_WORKERS = 1024


class WorkerConnections:
    """The open connections of one worker. Those that end with their first answer do not count."""

    def __init__(self, counts: memoryview | None = None, place: int = 0) -> None:
        """`counts` are those of all workers. Without them, no connection is ended."""
        self._counts, self._place, self._ending = counts, place, 0

    def listen(self) -> None:
        """This worker is about to accept connections."""
        if self._counts is not None:
            self._counts[self._place] = 0

    def leave(self) -> None:
        """This worker accepts no more connections. It may answer for a while, and ends each one after its answer."""
        if self._counts is not None:
            self._counts[self._place] = NOT_LISTENING
        self._counts = None

    def opened(self) -> None:
        """Count a connection."""
        if self._counts is not None:
            self._counts[self._place] += 1

    def closed(self, *, was_ending: bool) -> None:
        """Count one less."""
        self._ending -= was_ending
        if self._counts is not None:
            self._counts[self._place] -= 1

    def end_one(self) -> bool:
        """Whether a connection should end with its next answer, because this worker has more than its share."""
        if self._counts is None:
            return False
        listening = [count for count in self._counts[1 : 1 + self._counts[0]] if count >= 0]
        is_above = (self._counts[self._place] - self._ending - 1) * len(listening) >= sum(listening)
        self._ending += is_above
        return is_above


class ConnectionBalance:
    """The counts of all workers, in memory that the supervisor shares with those that it forks."""

    def __init__(self) -> None:
        """Without workers."""
        self._counts = memoryview(mmap.mmap(-1, 4 * (1 + MOST_WORKERS))).cast("i")  # first, the number of places
        self._workers: list[BaseProcess] = []
        self.own = WorkerConnections()
        """Of this process: those of the worker that was assigned last, which the next fork inherits."""

    def assign(self, worker: BaseProcess) -> WorkerConnections:
        """In the supervisor, before it forks a worker: give it a place that no living worker has."""
        left = (place for place, before in enumerate(self._workers) if not before.is_alive())
        place = next(left, len(self._workers))
        self._workers[place : place + 1] = [worker]
        self._counts[0], self._counts[place + 1] = len(self._workers), NOT_LISTENING
        self.own = WorkerConnections(self._counts, place + 1)
        return self.own


BALANCE = ConnectionBalance()
"""Of this process: the supervisor's, and the copy of each worker that it forks."""
