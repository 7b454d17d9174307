"""The home feed: who asks, what may be read of them, one ranking, one page of it."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tastefeed.contracts import columns as c
from tastefeed.serving import profiled
from tastefeed.serving.audience import Audience, Doorkeeper, not_shown, rows_of
from tastefeed.serving.cursor import Cursor, decoded
from tastefeed.serving.explanations import Explanation, explain_everyones
from tastefeed.serving.held import HeldRelease
from tastefeed.serving.release import Release
from tastefeed.serving.shelf import Ranked, everyones


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
            ranked = everyones(release.fresh, release.popular)
            page = _page(ranked, hidden | _foreign(release, languages), place, limit)
            explained = explain_everyones(release, page.rows, page.sources)
        else:
            ranked, late = _own(release, audience, audience.user_row, hidden, place.since)
            page = _page(ranked, late, place, limit)
            explained = profiled.explain(release, audience.user_row, page.rows, page.sources, hidden)
        items = _shown(release, page, explained, place.rank)
        return Feed(user_id, release.version, audience.reason is None, audience.reason, items, page.cursor)


@dataclass(frozen=True)
class Page(Ranked):
    """A run of a list, and where the next one begins."""

    cursor: str | None


def _own(
    release: Release, audience: Audience, user_row: int, hidden: NDArray[np.bool_], since: datetime
) -> tuple[Ranked, NDArray[np.bool_]]:
    """The user's list as of `since`, and what they touched later: left out of it without ranking it anew, so that a
    click between two pages neither repeats nor skips an item."""
    early = rows_of(release, (touch.item_id for touch in audience.touches if touch.landed_at <= since))
    late = np.zeros_like(hidden)
    late[rows_of(release, (touch.item_id for touch in audience.touches if touch.landed_at > since))] = True
    hidden = hidden.copy()
    hidden[early] = True
    return profiled.rank(release, np.array([user_row], np.int32), [hidden])[0], late


def _place(asked: Cursor | None, release: Release, *, personalized: bool) -> Cursor:
    if asked and asked.release == release.version and asked.personalized == personalized:
        return asked
    return Cursor(release=release.version, personalized=personalized, since=datetime.now(UTC), offset=0, rank=0)


def _page(ranked: Ranked, hidden: NDArray[np.bool_], place: Cursor, limit: int) -> Page:
    shown = np.flatnonzero(~hidden[ranked.rows[place.offset :]]) + place.offset
    page = shown[:limit]
    more = len(shown) > limit
    following = {"offset": int(page[-1]) + 1, "rank": place.rank + len(page)} if more else {}
    cursor = place.model_copy(update=following).encoded() if more else None
    return Page(ranked.rows[page], ranked.scores[page], ranked.sources[page], cursor)


def _foreign(release: Release, languages: frozenset[str] | None) -> NDArray[np.bool_]:
    if languages is None:
        return np.zeros(len(release.languages), bool)
    return ~np.isin(release.languages, sorted(languages))


def _shown(release: Release, page: Page, explained: list[Explanation], rank: int) -> list[FeedItem]:
    columns = [c.ITEM_ID, c.TITLE, c.CREATOR_ID, c.URL, c.IMAGE_URL]
    display = release.catalogue.select(columns).take(page.rows).to_pylist()
    facts = zip(display, page.scores.tolist(), page.sources.tolist(), explained, strict=True)
    return [
        FeedItem(rank=rank + place, score=score, source=source, explanation=explanation, **item)
        for place, (item, score, source, explanation) in enumerate(facts, start=1)
    ]
