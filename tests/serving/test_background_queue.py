"""The bounded queue of work that no request waits for."""

from collections.abc import Sequence

from serving.background_queue import BackgroundQueue


class NumberQueue(BackgroundQueue[int]):
    """Collects what it handles and counts what it drops."""

    def __init__(self, *, enabled: bool = True) -> None:
        super().__init__("test", enabled=enabled, size=2)
        self.handled: list[int] = []
        self.dropped: list[int] = []

    def handle(self, entries: Sequence[int]) -> None:
        self.handled.extend(entries)

    def count_dropped(self, entries: int) -> None:
        self.dropped.append(entries)


def filled(queue: NumberQueue) -> NumberQueue:
    """The queue after five entries that came before its thread started."""
    for entry in range(5):
        queue.add(entry)
    queue.start()
    queue.close()
    return queue


def test_a_full_queue_drops_and_counts_what_is_added() -> None:
    queue = filled(NumberQueue())
    assert (queue.handled, queue.dropped) == ([0, 1], [1, 1, 1])


def test_a_queue_that_is_not_enabled_does_nothing() -> None:
    queue = filled(NumberQueue(enabled=False))
    assert (queue.handled, queue.dropped) == ([], [])
