"""Records what personalized feeds show as impressions in the event store, in the background.

The setting `TASTEFEED_RECORD_SERVED` turns it on. A request only adds its feed to a bounded queue. One thread of each
worker stores what is in the queue, about every 50 ms. So all workers know on a refresh what a page has shown, and the
night reads the same rows as posted impressions. A killed worker loses what is in its queue, and a full queue drops
feeds: a lost impression costs a repeated item. Nothing is recorded of users who opted out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import Action, SubjectType
from contracts import columns as c
from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable
from contracts.opt_out_flags import UNREADABLE
from serving.background_queue import BackgroundQueue
from serving.feed import Feed
from serving.privacy.opt_out_service import OptOutService

MAX_WAITING_FEEDS = 2000
FEEDS_AT_ONCE = 100
GATHER_S = 0.05
"""How long the thread waits for more feeds, so that one transaction stores several."""
RETRY_S = 1.0


@dataclass(frozen=True)
class QueuedFeed:
    """A feed, and when it was served."""

    feed: Feed
    served_at: datetime


class ImpressionRecorder:
    """A queue of served feeds, which are stored in the background."""

    def __init__(self, stores: OptOutService, on_result: Callable[[str, int], object], *, enabled: bool) -> None:
        """`on_result` counts feeds as `recorded` or `dropped`."""
        self._stores, self._on_result, self._enabled = stores, on_result, enabled
        self._queue: BackgroundQueue[QueuedFeed] = BackgroundQueue(
            "impressions",
            self._store,
            lambda count: on_result("dropped", count),
            size=MAX_WAITING_FEEDS,
            at_once=FEEDS_AT_ONCE,
            gather_s=GATHER_S,
        )

    def start(self) -> None:
        """Start the thread, if feeds are recorded."""
        if self._enabled:
            self._queue.start()

    def record(self, feed: Feed) -> None:
        """Have a personalized feed stored; never waits."""
        if self._enabled and feed.personalized and feed.items:
            self._queue.add(QueuedFeed(feed, datetime.now(UTC)))

    def close(self) -> None:
        """Store what is in the queue."""
        self._queue.close()

    def _store(self, served: Sequence[QueuedFeed]) -> None:
        """Store these feeds; retry while a store cannot be used, until the server stops."""
        users = {each.feed.user_id for each in served if each.feed.user_id is not None}
        while True:
            try:
                refused = self._stores.opt_outs.among(
                    SubjectType.USER, users, UNREADABLE
                )  # they may have just opted out
                allowed = [each for each in served if each.feed.user_id not in refused]
                self._stores.events.add([row for each in allowed for row in rows_of(each)])
            except (EventStoreUnavailable, OptOutStoreUnavailable):
                if self._queue.closing.wait(RETRY_S):
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
