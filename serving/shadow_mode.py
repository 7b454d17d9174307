"""Shadow mode: a second release answers the same requests in the background, and the differences are counted.

Its lists reach no client. One thread of each worker makes them from a bounded queue, so that a worker under load drops
comparisons, not requests. The consent check is made again for each list.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.errors import TastefeedError
from serving.background_queue import BackgroundQueue
from serving.feed import HomeFeed, ServedFeed
from serving.feed_request import FeedRequest
from serving.releases.extra_releases import ExtraReleases

LOG = logging.getLogger("tastefeed.shadow_mode")
MAX_WAITING_PAGES = 100
ShadowResult = Callable[[str, float | None], object]
"""Counts a page as `same`, `different`, `failed` or `dropped`, with the share of its items that both pages have."""


@dataclass(frozen=True)
class AnsweredPage:
    """The first page that a user got."""

    user_id: str
    item_ids: tuple[str, ...]


class ShadowMode:
    """The queue of one worker; without a version, nothing is compared."""

    def __init__(self, home: HomeFeed, extra: ExtraReleases, version: str, on_result: ShadowResult) -> None:
        """`extra` holds the release of this version once the server has started."""
        self._home, self._extra, self._version, self._on_result = home, extra, version, on_result
        self._queue: BackgroundQueue[AnsweredPage] = BackgroundQueue(
            "shadow", self._compare, lambda _: on_result("dropped", None), size=MAX_WAITING_PAGES
        )

    def start(self) -> None:
        """Start the thread, if there is a version."""
        if self._version:
            self._queue.start()

    def record(self, served: ServedFeed) -> None:
        """Have the first page of a personalized feed compared; never waits."""
        feed = served.feed
        is_first = served.position.rank == 0 and served.ranked is not None
        if self._version and is_first and feed.user_id is not None and self._version != feed.release:
            self._queue.add(AnsweredPage(feed.user_id, tuple(item.item_id for item in feed.items)))

    def close(self) -> None:
        """Compare what is in the queue."""
        self._queue.close()

    def _compare(self, pages: Sequence[AnsweredPage]) -> None:
        release = self._extra.get(self._version)
        for page in pages:
            try:
                if release is None:
                    raise TastefeedError(f"the release {self._version} of TASTEFEED_SHADOW_RELEASE is not loaded")
                limit = max(1, len(page.item_ids))
                shadow = self._home.served(FeedRequest(page.user_id, limit=limit, release=release))
            except TastefeedError as error:
                LOG.error("a page has no comparison: %s", error)
                self._on_result("failed", None)
                continue
            if shadow.ranked is not None:  # the user may have opted out just now
                items = tuple(item.item_id for item in shadow.feed.items)
                both = len(set(items) & set(page.item_ids)) / max(1, len(page.item_ids))
                self._on_result("same" if items == page.item_ids else "different", both)
