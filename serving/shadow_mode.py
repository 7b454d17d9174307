"""Shadow mode: a second release answers the same requests in the background, and the differences are counted.

Its lists reach no client. One thread of each worker makes them from a bounded queue, so that a worker under load drops
comparisons, not requests. The consent check is made again for each list.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

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
    """The first page that a user got, without explored items: those of another release are drawn anew."""

    user_id: str
    item_ids: tuple[str, ...]
    since: datetime
    """When it was ranked: its own impressions count in the next list."""


class ShadowMode(BackgroundQueue[AnsweredPage]):
    """The queue of one worker; without a version, nothing is compared."""

    def __init__(self, home: HomeFeed, extra: ExtraReleases, version: str, on_result: ShadowResult) -> None:
        """`extra` holds the release of this version once the server has started."""
        super().__init__("shadow", enabled=bool(version), size=MAX_WAITING_PAGES)
        self._home, self._extra, self._version, self._on_result = home, extra, version, on_result

    def record(self, served: ServedFeed) -> None:
        """Have the first page of a personalized feed compared; never waits."""
        feed = served.feed
        is_first = served.position.rank == 0 and served.ranked is not None
        if self.enabled and is_first and feed.user_id is not None and not self._is_shadow(feed.release):
            item_ids = tuple(item.item_id for item in feed.items if item.propensity is None)
            self.add(AnsweredPage(feed.user_id, item_ids, served.position.since))

    def handle(self, entries: Sequence[AnsweredPage]) -> None:
        """Compare pages. One that cannot be made is logged."""
        for page in entries:
            try:
                self._compare(page)
            except TastefeedError as error:
                LOG.error("a page has no comparison: %s", error)
                self._on_result("failed", None)

    def count_dropped(self, entries: int) -> None:
        """Count a page that is not compared."""
        for _ in range(entries):
            self._on_result("dropped", None)

    def _is_shadow(self, version: str) -> bool:
        """Whether this is the release in shadow mode; an erasure gives it another name."""
        shadow = self._extra.get(self._version)
        return version in (self._version, shadow.version if shadow else None)

    def _compare(self, page: AnsweredPage) -> None:
        """Raises `TastefeedError`."""
        if (release := self._extra.get(self._version)) is None:
            raise TastefeedError(f"the release {self._version} of TASTEFEED_SHADOW_RELEASE is not loaded")
        limit = max(1, len(page.item_ids))
        shadow = self._home.served(
            FeedRequest(page.user_id, limit=limit, release=release, at=page.since, explore=False)
        )
        if shadow.ranked is not None:  # the user may have opted out just now
            items = tuple(item.item_id for item in shadow.feed.items)
            both = len(set(items) & set(page.item_ids)) / limit
            self._on_result("same" if items == page.item_ids else "different", both)
