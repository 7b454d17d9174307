"""Records what personalized feeds show as impressions in the event store, in the background.

The setting `TASTEFEED_RECORD_SERVED` turns it on. A request only adds its feed to a bounded queue. One thread of each
worker stores what is in the queue, about every 50 ms. So all workers can read on a refresh what a page has shown, and
the night reads the same rows as posted impressions. A killed worker loses what is in its queue, and a full queue drops
feeds: a lost impression costs a repeated item. Nothing is recorded of users who opted out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import Action
from contracts import columns as c
from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable
from serving.background_queue import BackgroundQueue
from serving.feed import Feed
from serving.privacy.consent import of_readable_users
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

    @property
    def user_id(self) -> str | None:
        """The user that the feed was made for."""
        return self.feed.user_id


class ImpressionRecorder(BackgroundQueue[QueuedFeed]):
    """A queue of served feeds, which are stored in the background."""

    def __init__(self, stores: OptOutService, on_result: Callable[[str, int], object], *, enabled: bool) -> None:
        """`on_result` counts feeds as `recorded` or `dropped`."""
        super().__init__(
            "impressions", enabled=enabled, size=MAX_WAITING_FEEDS, at_once=FEEDS_AT_ONCE, gather_s=GATHER_S
        )
        self._stores, self._on_result = stores, on_result

    def record(self, feed: Feed) -> None:
        """Have a personalized feed stored; never waits."""
        if feed.personalized and feed.items:
            self.add(QueuedFeed(feed, datetime.now(UTC)))

    def handle(self, entries: Sequence[QueuedFeed]) -> None:
        """Store these feeds; retry while a store cannot be used, until the server stops."""
        while True:
            try:
                allowed = of_readable_users(self._stores.opt_outs, entries)
                self._stores.events.add([row for each in allowed for row in rows_of(each)])
            except (EventStoreUnavailable, OptOutStoreUnavailable):
                if self.closing.wait(RETRY_S):
                    self.count_dropped(len(entries))
                    return
            else:
                self._on_result("recorded", len(entries))
                return

    def count_dropped(self, entries: int) -> None:
        """Count feeds that are not recorded."""
        self._on_result("dropped", entries)


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
