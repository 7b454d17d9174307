"""The home feed: who asks, what may be read of them, one ranking, one page of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from contracts import columns as c
from ranking.feature_arrays import Rows
from ranking.rank_users import rank_users
from serving.cursor import Cursor, CursorExpired, decoded
from serving.event_store import Touch
from serving.explanation_text import Explanation, explain_everyones, explain_own
from serving.popularity_fallback import Ranked, ranked
from serving.privacy.consent import Audience, Doorkeeper, Reason, not_shown, rows_of
from serving.releases.loaded_release import Release
from serving.releases.release_loader import HeldRelease


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
    """One page. `reason` says why it is not personalized; `cursor` asks for the next page, `null` on the last;
    `request_id` is the header `X-Request-Id` of the answer, for the events that follow."""

    user_id: str | None
    request_id: str
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
        request_id: str = "",
    ) -> Feed:
        """A page of at most `limit` items. Raises `ReleaseMissing`, `BadCursor`, `CursorExpired`.

        `languages` restricts the list of everyone. A cursor of another release goes on without the items it has shown;
        one of a personalized list that may no longer be personalized starts everyone's list at its top.
        """
        asked = decoded(cursor) if cursor else None
        release = self._held.get()
        audience = self._doorkeeper.admit(release, user_id, gpc=gpc)
        place = _place(asked, release, audience)
        now = datetime.now(UTC)
        hidden = not_shown(release, audience.standing, now)
        if audience.user_row is None:
            page, explained = _everyones(release, hidden | _foreign(release, languages), place, limit)
        else:
            page, explained = _own(release, audience.user_row, audience.touches, hidden, place, limit)
        items = _shown(release, page, explained, place.rank)
        personalized = audience.reason is None
        return Feed(user_id, request_id, release.version, personalized, audience.reason, items, page.cursor)


@dataclass(frozen=True)
class Page(Ranked):
    """A run of a list, and where the next one begins."""

    cursor: str | None


def _everyones(
    release: Release, hidden: NDArray[np.bool_], place: Cursor, limit: int
) -> tuple[Page, list[Explanation]]:
    fallback = release.everyones
    places, cursor = _cut(release, fallback.rows, hidden, place, limit, personalized=False)
    page = Page(fallback.rows[places], fallback.scores[places], fallback.sources[places], cursor)
    return page, explain_everyones(release, page.rows, page.sources)


def _own(
    release: Release, user_row: int, touches: Sequence[Touch], hidden: NDArray[np.bool_], place: Cursor, limit: int
) -> tuple[Page, list[Explanation]]:
    """The user's list as of `place.since`; what they touched later is only left out of it, so that a click between two
    pages neither repeats nor skips an item."""
    early = _marked(release, [touch for touch in touches if touch.landed_at <= place.since])
    late = _marked(release, [touch for touch in touches if touch.landed_at > place.since])
    passed = max(place.offset, place.rank)
    depth = passed + limit + len(touches) + 1
    row = np.array([user_row], np.int32)
    scored = rank_users(release.ranking_snapshot, release.reranker, row, depth, excluded=hidden | early)
    pairs = scored.slates.pairs
    places, cursor = _cut(release, scored.candidates.item_rows[pairs], late, place, limit, personalized=True)
    page = ranked(scored, pairs[places])
    return Page(page.rows, page.scores, page.sources, cursor), explain_own(release, scored, pairs[places], hidden)


def _marked(release: Release, touches: Sequence[Touch]) -> NDArray[np.bool_]:
    marked = np.zeros(len(release.items.ids), bool)
    marked[rows_of(release, (touch.item_id for touch in touches))] = True
    return marked


CONTINUES = {None, Reason.UNKNOWN_USER, Reason.RELEASE_NOT_PROFILED, Reason.EVENT_STORE_UNAVAILABLE}
"""Reasons with which a personalized list goes on; with any other, leaving out what it showed would use the profile."""


def _place(asked: Cursor | None, release: Release, audience: Audience) -> Cursor:
    """Where the page begins. Raises `CursorExpired`."""
    personalized = audience.reason is None
    if asked is None or (asked.personalized and audience.reason not in CONTINUES):
        return Cursor(release=release.version, personalized=personalized, since=datetime.now(UTC), offset=0, rank=0)
    if not asked.complete and (asked.release, asked.personalized) != (release.version, personalized):
        raise CursorExpired("this cursor is of an earlier list and too far down to go on; leave it out to start anew")
    return asked


def _cut(
    release: Release, rows: Rows, hidden: NDArray[np.bool_], place: Cursor, limit: int, *, personalized: bool
) -> tuple[NDArray[np.int64], str | None]:
    """The places of a list that make one page, and where the next one begins."""
    left = _not_shown_yet(release, rows, np.flatnonzero(~hidden[rows]), place, limit)
    page = left[:limit]
    if len(left) <= limit:
        return page, None
    hashes, offset = release.item_hashes[rows[page]], int(page[-1]) + 1
    following = place.after(hashes, release=release.version, personalized=personalized, offset=offset)
    return page, following.encoded()


def _not_shown_yet(
    release: Release, rows: Rows, places: NDArray[np.int64], cursor: Cursor, limit: int
) -> NDArray[np.int64]:
    """The first of these places that no page has shown, more than `limit` where there are more."""
    if not cursor.complete:
        return places[places >= cursor.offset]
    # the list of everyone is as long as the catalogue; beyond this place, enough are left whatever was shown
    enough = places[: 2 * (limit + len(cursor.hashes))]
    return enough[~np.isin(release.item_hashes[rows[enough]], cursor.hashes)]


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
