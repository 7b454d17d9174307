"""The home feed of a request: the consent check, one ranking, one page of it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.request_stages import MeasuredStage, measured_stages, stage
from contracts.switches import SwitchName
from ranking.fatigue import FatigueConfig
from ranking.rank_users import RankedUsers, rank_users
from serving.cursor import Cursor, CursorExpired
from serving.explanation_text import Explanation, explain_fallback, explain_personalized
from serving.exploration import ExplorationConfig
from serving.feed_request import FeedParts, FeedRequest
from serving.list_pages import Page, page_places, personalized_page, rows_of_last
from serving.posted_interactions import left_out, unhidden_items
from serving.privacy.consent import NotPersonalized, UserContext, excluded_items
from serving.recent_interactions import RecentInteraction
from serving.release_choice import Choice
from serving.releases.loaded_release import Release
from serving.releases.manifest import ReducedTo
from serving.shown_items import shown_before, shown_last

Source = Literal["two_tower", "fresh", "popular"]
"""`ranking.feature_arrays.SOURCES` as a type."""


@dataclass(frozen=True)
class FeedItem:
    """One item of a feed. `rank` counts from 1 over all pages; `score` compares within this list only. `explanation` is
    `null` where feeds of many users were requested together."""

    item_id: str
    rank: int
    score: float
    source: Source
    explanation: Explanation | None
    title: str | None
    creator_id: str | None
    url: str | None
    image_url: str | None
    propensity: float | None = None
    """With what probability an explored item was drawn for its place; `null` for the others."""


@dataclass(frozen=True)
class Feed:
    """One page. `reason` is why it is not personalized; `reduced_to` is all that the release serves, `null` for a whole
    one; `cursor` requests the next page, `null` on the last; `request_id` is the header `X-Request-Id` of the answer,
    for the events that follow."""

    user_id: str | None
    request_id: str
    release: str
    reduced_to: ReducedTo | None
    personalized: bool
    reason: NotPersonalized | None
    items: list[FeedItem]
    cursor: str | None


class HomeFeed:
    """Feeds from the current release."""

    def __init__(self, parts: FeedParts) -> None:
        """Reads nothing yet."""
        self._parts, self._ranking = parts, Lock()

    def served(self, request: FeedRequest) -> "ServedFeed":
        """A page of at most `limit` items. Raises `ReleaseMissing`, `BadCursor`, `CursorExpired`.

        With a cursor of another release, the list continues without the items that it has shown. A personalized list
        that may no longer be personalized starts anew, as the non-profiled list.
        """
        given = self._parts.cursors.decoded(request.cursor) if request.cursor else None
        now = datetime.now(UTC)
        with measured_stages() as stages:
            with stage("consent"):
                shown_by = given.since if given else request.at or now
                choice = self._parts.chooser.choose(
                    request.user_id, gpc=request.gpc, shown_by=shown_by, fixed=request.release
                )
            with self._turn():
                position = _position(given, choice.release, choice.context, request.at or now)
                excluded = excluded_items(choice.release, choice.context.opt_outs, now)
                made = self._made(request, choice, excluded, position)
                feed = self._feed(request, choice, position, made)
        return ServedFeed(feed, choice, excluded, request.languages, position, made.page, made.ranked, stages)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Ranking needs the processor alone, so requests of a process take turns. Threads that rank at once take
        Python's lock from each other: one process then answers two thirds of the feeds, each later."""
        with stage("queue"):
            self._ranking.acquire()
        try:
            yield
        finally:
            self._ranking.release()

    def _made(self, request: FeedRequest, choice: Choice, excluded: NDArray[np.bool_], position: Cursor) -> "_MadePage":
        if choice.context.user_row is not None:
            exploration = self._parts.exploration.unless(off=not request.explore)
            return _personalized_page(choice, excluded, position, request.limit, self._parts.fatigue, exploration)
        release, off = choice.release, choice.context.opt_outs.switches.sources_off
        others = None if request.languages is None else in_other_languages(release, request.languages)
        unsuitable = excluded if others is None else excluded | others
        return _MadePage(*fallback_page(release, unsuitable, position, request.limit, sources_off=off))

    def _feed(self, request: FeedRequest, choice: Choice, position: Cursor, made: "_MadePage") -> Feed:
        release, reason = choice.release, choice.context.reason
        return Feed(
            user_id=request.user_id,
            request_id=request.request_id,
            release=release.version,
            reduced_to=release.reduced_to,
            personalized=reason is None,
            reason=reason,
            items=feed_items(release, made.page, made.explanations, position.rank),
            cursor=self._parts.cursors.encoded(made.page.cursor) if made.page.cursor else None,
        )


@dataclass(frozen=True)
class _MadePage:
    page: Page
    explanations: list[Explanation]
    ranked: RankedUsers | None = None
    """The ranking of a personalized feed."""


@dataclass(frozen=True)
class ServedFeed:
    """A feed and what it was made of, for metrics, traces and logs."""

    feed: Feed
    choice: Choice
    excluded: NDArray[np.bool_]
    """[I] items that opted out or are removed."""
    languages: frozenset[str] | None
    position: Cursor
    page: Page
    ranked: RankedUsers | None
    """The ranking of a personalized feed."""
    stages: Sequence[MeasuredStage]

    @property
    def release(self) -> Release:
        """The release that answered."""
        return self.choice.release

    @property
    def context(self) -> UserContext:
        """What was read of the user."""
        return self.choice.context


def fallback_page(
    release: Release,
    excluded: NDArray[np.bool_],
    position: Cursor,
    limit: int,
    *,
    sources_off: frozenset[str] = frozenset(),
) -> tuple[Page, list[Explanation]]:
    """A page of the non-profiled list."""
    ranked = release.fallback_without(sources_off)
    places, cursor = page_places(release, ranked.rows, excluded, position, limit, personalized=False)
    page = Page(ranked.rows[places], ranked.scores[places], ranked.sources[places], cursor)
    with stage("explanations"):
        return page, explain_fallback(release, page.rows, page.sources)


def _personalized_page(
    choice: Choice,
    excluded: NDArray[np.bool_],
    position: Cursor,
    limit: int,
    fatigue: FatigueConfig,
    exploration: ExplorationConfig,
) -> _MadePage:
    """The user's list as of `position.since`. Items of later interactions are only left out of it, so that a click
    between two pages neither repeats nor skips an item."""
    release, context = choice.release, choice.context
    recent = context.recent_interactions
    earlier = [event for event in recent if event.landed_at <= position.since]
    before, gone = _item_mask(release, earlier), _item_mask(release, recent)
    depth = max(position.offset, position.rank) + limit + int(np.count_nonzero(gone & ~before)) + 1
    row = np.array([context.user_row], np.int32)
    preceding = shown_last(release, [earlier], fatigue, position.since)
    if position.rank and position.release != release.version:  # another ranking: this one goes on without its items
        before |= np.isin(release.item_hashes, position.hashes)
        preceding = [rows_of_last(release, position)]
    ranked = rank_users(
        release.snapshot_with(choice.changes),
        release.reranker,
        row,
        depth,
        excluded=excluded | before,
        unhidden=unhidden_items(release, row, [earlier]),
        shown=shown_before(release, row, [earlier], fatigue, position.since),
        preceding=preceding,
    )
    explored = exploration.unless(off=SwitchName.EXPLORATION in context.opt_outs.switches.off)
    page_pairs, page = personalized_page(release, ranked, ranked.slates.pairs, gone, position, limit, explored)
    with stage("explanations"):
        explanations = explain_personalized(release, ranked, page_pairs, excluded)
    return _MadePage(page, explanations, ranked)


def _item_mask(release: Release, interactions: Iterable[RecentInteraction]) -> NDArray[np.bool_]:
    mask = np.zeros(len(release.items.ids), bool)
    mask[left_out(release, interactions)] = True
    return mask


CONTINUES = {
    None,
    NotPersonalized.UNKNOWN_USER,
    NotPersonalized.RELEASE_NOT_PROFILED,
    NotPersonalized.EVENT_STORE_UNAVAILABLE,
}
"""Reasons with which a personalized list continues. With others, leaving out the shown items would use the profile."""


def _position(given: Cursor | None, release: Release, context: UserContext, now: datetime) -> Cursor:
    """Where the page begins. Raises `CursorExpired`."""
    personalized = context.reason is None
    if given is None or (given.personalized and context.reason not in CONTINUES):
        return Cursor(release=release.version, personalized=personalized, since=now, offset=0, rank=0)
    if not given.complete and (given.release, given.personalized) != (release.version, personalized):
        raise CursorExpired("this cursor is of an earlier list and too far down to go on; leave it out to start anew")
    return given


def in_other_languages(release: Release, languages: frozenset[str] | None) -> NDArray[np.bool_]:
    """[I] items in languages that were not requested; an item of unknown language may be in any."""
    if languages is None:
        return np.zeros(len(release.items.ids), bool)
    return ~release.in_languages({"", *languages})


def feed_items(release: Release, page: Page, explanations: Sequence[Explanation | None], rank: int) -> list[FeedItem]:
    """The items of a page as a client gets them; `rank` items came before."""
    items = release.displays.of(page.rows)
    rows = zip(items, page.scores.tolist(), page.sources.tolist(), explanations, page.chances, strict=True)
    return [
        FeedItem(
            item_id=item.item_id,
            rank=rank + place,
            score=score,
            source=source,
            explanation=explanation,
            title=item.title,
            creator_id=item.creator_id,
            url=item.url,
            image_url=item.image_url,
            propensity=chance,
        )
        for place, (item, score, source, explanation, chance) in enumerate(rows, start=1)
    ]
