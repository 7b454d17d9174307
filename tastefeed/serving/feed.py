"""The home feed: who asks, what may be read of them, one ranking, one page of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tastefeed.contracts import columns as c
from tastefeed.ranking.tables import Rows
from tastefeed.serving import profiled
from tastefeed.serving.audience import Doorkeeper, not_shown, rows_of
from tastefeed.serving.cursor import Cursor, decoded
from tastefeed.serving.explanations import Explanation, explain_everyones, explain_own
from tastefeed.serving.held import HeldRelease
from tastefeed.serving.pending_events import Touch
from tastefeed.serving.release import Release
from tastefeed.serving.shelf import Ranked


@dataclass(frozen=True)
class FeedItem:
    """One item of a feed. `rank` counts from 1 over all pages; `score` compares within this list only."""

    item_id: str
    rank: int
    score: float
    source: str
    explanation: Explanation
    title: str | None
    creator_id: str | None
    url: str | None
    image_url: str | None


@dataclass(frozen=True)
class Feed:
    """One page. `reason` says why it is not personalized; `cursor` asks for the next page, `null` on the last."""

    user_id: str | None
    release: str
    personalized: bool
    reason: str | None
    items: list[FeedItem]
    cursor: str | None


class HomeFeed:
    """Feeds from whatever release is held."""

    def __init__(self, held: HeldRelease, doorkeeper: Doorkeeper) -> None:
        """The release and the stores, each asked anew at each request."""
        self._held, self._doorkeeper = held, doorkeeper

    def feed(
        self,
        user_id: str | None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        languages: frozenset[str] | None = None,
        gpc: bool = False,
    ) -> Feed:
        """A page of at most `limit` items. Raises `ReleaseMissing`, `BadCursor`.

        `languages` restricts the list of everyone. A cursor of another release, or of before an opt-out, starts anew.
        """
        asked = decoded(cursor) if cursor else None
        release = self._held.get()
        audience = self._doorkeeper.admit(release, user_id, gpc=gpc)
        place = _place(asked, release, personalized=audience.reason is None)
        now = datetime.now(UTC)
        hidden = not_shown(release, audience.standing, now)
        if audience.user_row is None:
            page, explained = _everyones(release, hidden | _foreign(release, languages), place, limit)
        else:
            page, explained = _own(release, audience.user_row, audience.touches, hidden, place, limit)
        items = _shown(release, page, explained, place.rank)
        return Feed(user_id, release.version, audience.reason is None, audience.reason, items, page.cursor)


@dataclass(frozen=True)
class Page(Ranked):
    """A run of a list, and where the next one begins."""

    cursor: str | None


def _everyones(
    release: Release, hidden: NDArray[np.bool_], place: Cursor, limit: int
) -> tuple[Page, list[Explanation]]:
    ranked = release.everyones
    places, cursor = _cut(ranked.rows, hidden, place, limit)
    page = Page(ranked.rows[places], ranked.scores[places], ranked.sources[places], cursor)
    return page, explain_everyones(release, page.rows, page.sources)


def _own(
    release: Release, user_row: int, touches: Sequence[Touch], hidden: NDArray[np.bool_], place: Cursor, limit: int
) -> tuple[Page, list[Explanation]]:
    """The user's list as of `place.since`; what they touched later is only left out of it, so that a click between two
    pages neither repeats nor skips an item."""
    early = _marked(release, [touch for touch in touches if touch.landed_at <= place.since])
    late = _marked(release, [touch for touch in touches if touch.landed_at > place.since])
    scored = profiled.score(release, np.array([user_row], np.int32), hidden | early)
    pairs = profiled.lists(release, scored, place.offset + limit + len(touches) + 1).pairs
    places, cursor = _cut(scored.candidates.item_rows[pairs], late, place, limit)
    page = profiled.ranked(scored, pairs[places])
    return Page(page.rows, page.scores, page.sources, cursor), explain_own(release, scored, pairs[places], hidden)


def _marked(release: Release, touches: Sequence[Touch]) -> NDArray[np.bool_]:
    marked = np.zeros(len(release.items.ids), bool)
    marked[rows_of(release, (touch.item_id for touch in touches))] = True
    return marked


def _place(asked: Cursor | None, release: Release, *, personalized: bool) -> Cursor:
    if asked and asked.release == release.version and asked.personalized == personalized:
        return asked
    return Cursor(release=release.version, personalized=personalized, since=datetime.now(UTC), offset=0, rank=0)


def _cut(rows: Rows, hidden: NDArray[np.bool_], place: Cursor, limit: int) -> tuple[NDArray[np.int64], str | None]:
    """The places of a list that make one page, and where the next one begins."""
    shown = np.flatnonzero(~hidden[rows[place.offset :]]) + place.offset
    page = shown[:limit]
    if len(shown) <= limit:
        return page, None
    following = {"offset": int(page[-1]) + 1, "rank": place.rank + len(page)}
    return page, place.model_copy(update=following).encoded()


def _foreign(release: Release, languages: frozenset[str] | None) -> NDArray[np.bool_]:
    """[I] items in a language that was not asked for; an item of unknown language may be in any."""
    if languages is None:
        return np.zeros(len(release.languages), bool)
    return ~np.isin(release.languages, ["", *sorted(languages)])


def _shown(release: Release, page: Page, explained: list[Explanation], rank: int) -> list[FeedItem]:
    columns = [c.ITEM_ID, c.TITLE, c.CREATOR_ID, c.URL, c.IMAGE_URL]
    display = release.catalogue.select(columns).take(page.rows).to_pylist()
    facts = zip(display, page.scores.tolist(), page.sources.tolist(), explained, strict=True)
    return [
        FeedItem(rank=rank + place, score=score, source=source, explanation=explanation, **item)
        for place, (item, score, source, explanation) in enumerate(facts, start=1)
    ]
