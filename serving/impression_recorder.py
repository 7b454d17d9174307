"""Records what personalized feeds show as impressions in the event store, in the background.

The setting `TASTEFEED_RECORD_SERVED` turns it on. A request only adds its feed to a bounded queue. One thread of each
worker stores what is in the queue, about every 50 ms. So all workers know on a refresh what a page has shown, and the
night reads the same rows as posted impressions. A killed worker loses what is in its queue, and a full queue drops
feeds: a lost impression costs a repeated item. Nothing is recorded of users who opted out.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Empty, Full, Queue
from typing import Any

from contracts import Action, SubjectType
from contracts import columns as c
from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable
from contracts.opt_out_flags import UNREADABLE
from serving.feed import Feed
from serving.privacy.opt_out_service import OptOutService

MAX_WAITING_FEEDS = 2000
FEEDS_AT_ONCE = 100
GATHER_S = 0.05
"""How long the thread waits for more feeds, so that one transaction stores several."""
RETRY_S = 1.0
CLOSE_S = 5.0
"""How long a stopping server waits for the queue to be stored."""


@dataclass(frozen=True)
class QueuedFeed:
    """A feed, and when it was served."""

    feed: Feed
    served_at: datetime


class ImpressionRecorder:
    """A queue of served feeds and the thread that stores them."""

    def __init__(self, stores: OptOutService, on_result: Callable[[str, int], object], *, enabled: bool) -> None:
        """`on_result` counts feeds as `recorded` or `dropped`."""
        self._stores, self._on_result, self._enabled = stores, on_result, enabled
        self._queue: Queue[QueuedFeed] = Queue(MAX_WAITING_FEEDS)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        if self._enabled:
            self._thread.start()

    def record(self, feed: Feed) -> None:
        """Have a personalized feed stored; never waits."""
        if not self._enabled or not feed.personalized or not feed.items:
            return
        try:
            self._queue.put_nowait(QueuedFeed(feed, datetime.now(UTC)))
        except Full:
            self._on_result("dropped", 1)

    def close(self) -> None:
        """Store what is in the queue, and end the thread."""
        self._closing.set()
        if self._enabled:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            if served := self._next():
                self._store(served)

    def _next(self) -> list[QueuedFeed]:
        try:
            served = [self._queue.get(timeout=GATHER_S)]
        except Empty:
            return []
        self._closing.wait(GATHER_S)
        while len(served) < FEEDS_AT_ONCE and not self._queue.empty():
            served.append(self._queue.get_nowait())  # this thread is the only reader
        return served

    def _store(self, served: Sequence[QueuedFeed]) -> None:
        """Store these feeds; retry while a store cannot be used, until the server stops."""
        while True:
            try:
                users = {each.feed.user_id for each in served if each.feed.user_id is not None}
                refused = self._stores.opt_outs.among(
                    SubjectType.USER, users, UNREADABLE
                )  # they may have opted out just now
                self._stores.events.add(
                    [row for each in served if each.feed.user_id not in refused for row in rows_of(each)]
                )
            except (EventStoreUnavailable, OptOutStoreUnavailable):
                if self._closing.wait(RETRY_S):
                    self._on_result("dropped", len(served))
                    return
            else:
                self._on_result("recorded", len(served))
                return


def rows_of(served: QueuedFeed) -> list[dict[str, Any]]:
    """The impressions of a feed. They are a microsecond apart, so that their order is kept."""
    feed = served.feed
    return [
        {
            c.USER_ID: feed.user_id,
            c.ITEM_ID: item.item_id,
            c.ACTION: Action.IMPRESSION.value,
            c.TIMESTAMP: served.served_at + timedelta(microseconds=place),
            c.REQUEST_ID: feed.request_id or None,
            c.POSITION: item.rank - 1,
            c.PROPENSITY: item.propensity,
        }
        for place, item in enumerate(feed.items)
    ]
