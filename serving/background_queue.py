"""Work off the critical path: a request adds to a bounded queue, and one thread of the worker handles it in batches."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
CLOSE_S = 5.0
"""How long a stopping server waits for the queue to be handled."""


class BackgroundQueue(ABC, Generic[T]):
    """A queue and its thread. A full queue drops what is added; one that is not enabled does nothing."""

    def __init__(self, name: str, *, enabled: bool, size: int, at_once: int | None = None, gather_s: float = 0) -> None:
        """A batch is what came within `gather_s` seconds: at most `at_once` entries, or all."""
        self.enabled, self._gather_s = enabled, gather_s
        self._queue: Queue[T | None] = Queue(size)
        self._at_once, self.closing = at_once or size, threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def handle(self, entries: Sequence[T]) -> None:
        """Handle a batch. It may not raise an error. One that tries again ends once `closing` is set."""

    @abstractmethod
    def count_dropped(self, entries: int) -> None:
        """Count entries that no batch handles."""

    def start(self) -> None:
        """Start the thread."""
        if self.enabled:
            self._thread.start()

    def add(self, entry: T) -> None:
        """Have an entry handled; never waits."""
        if not self.enabled:
            return
        try:
            self._queue.put_nowait(entry)
        except Full:
            self.count_dropped(1)

    def close(self) -> None:
        """Handle what is in the queue, and end the thread."""
        self.closing.set()
        if self._thread.is_alive():
            with suppress(Full):
                self._queue.put(None, timeout=CLOSE_S)
                self._thread.join(CLOSE_S)

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._gathered()
            if batch:
                self.handle(batch)

    def _gathered(self) -> tuple[list[T], bool]:
        """What came, and whether more may come."""
        batch = [self._queue.get()]
        deadline = time.monotonic() + self._gather_s
        while batch[-1] is not None and len(batch) < self._at_once:
            try:
                batch.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except Empty:
                break
        return [entry for entry in batch if entry is not None], batch[-1] is not None
