"""Why one item is at its place in a user's feed, or missing: read from a feed that was made like any other."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ranking.candidates import BITS
from ranking.feature_arrays import SOURCES
from ranking.rank_users import RankedUsers
from serving.explanation_text import Explanation
from serving.feed import HomeFeed, ServedFeed
from serving.feed_request import FeedRequest
from serving.item_filters import FilterName, filters_of
from serving.privacy.consent import NotPersonalized

WHOLE_LIST = 10_000
"""More items than a list has candidates."""
Outcome = Literal["shown", "filtered", "no_candidate", "not_in_release", "not_traced"]


@dataclass(frozen=True)
class FeatureTrace:
    """One feature of the pair of user and item, and what it added to the score."""

    name: str
    value: float | None
    added: float


@dataclass(frozen=True)
class SlateTrace:
    """What the slate did with the item of the rank `score_rank` by score.

    `passed_by` items of a lower score stand above it: it would have broken a limit, or its `exposure`, the share of
    users who would have it, was discounted. Its creator has `creator_above` items in the `window` places that end with
    it, of `per_creator` at most. `relaxed`: every item left would have broken a limit.
    """

    score_rank: int
    passed_by: int
    relaxed: bool
    exposure: float
    creator_above: int
    window: int
    per_creator: int


@dataclass(frozen=True)
class FeedTrace:
    """Why an item has its rank, or none; `arm` is that of a running experiment. The trace of an opted-out user has the
    reason alone."""

    user_id: str
    item_id: str
    release: str
    personalized: bool
    reason: NotPersonalized | None
    outcome: Outcome
    arm: str | None = None
    rank: int | None = None
    filters: tuple[FilterName, ...] = ()
    sources_off: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    score: float | None = None
    features: tuple[FeatureTrace, ...] = ()
    slate: SlateTrace | None = None
    explanation: Explanation | None = None


def trace_item(home: HomeFeed, user_id: str, item_id: str) -> FeedTrace:
    """Make the user's whole list and look the item up in it. Raises `ReleaseMissing`."""
    served = home.served(FeedRequest(user_id, limit=WHOLE_LIST, explore=False))
    feed, row = served.feed, served.release.item_row.get(item_id)
    trace = FeedTrace(user_id, item_id, feed.release, feed.personalized, feed.reason, "not_traced")
    if feed.reason is NotPersonalized.OPTED_OUT:
        return trace
    if row is None:
        return replace(trace, outcome="not_in_release")
    filters = tuple(filters_of(served, row))
    trace = replace(
        trace,
        outcome="filtered" if filters else "no_candidate",
        arm=served.choice.arm.name if served.choice.arm else None,
        filters=filters,
        sources_off=tuple(sorted(served.context.opt_outs.switches.sources_off)),
    )
    return _with_score(_with_place(trace, served, row), served, row)


def _with_place(trace: FeedTrace, served: ServedFeed, row: int) -> FeedTrace:
    for item, its_row in zip(served.feed.items, served.page.rows.tolist(), strict=True):
        if its_row == row:
            return replace(
                trace,
                outcome="shown",
                rank=item.rank,
                sources=(item.source,),
                score=item.score,
                explanation=item.explanation,
            )
    return trace


def _with_score(trace: FeedTrace, served: ServedFeed, row: int) -> FeedTrace:
    """The trace with the sources, features and slate of a candidate, where the list is personalized."""
    ranked = served.ranked
    pairs = np.flatnonzero(ranked.candidates.item_rows == row) if ranked else np.zeros(0, int)
    if ranked is None or not len(pairs):
        return trace
    pair = int(pairs[0])
    bits = ranked.candidates.sources[pair]
    return replace(
        trace,
        sources=tuple(source for source in SOURCES if bits & BITS[source]),
        score=float(ranked.scores[pair]),
        features=_features(served, ranked, pair),
        slate=_slate(served, ranked, pair),
    )


def _features(served: ServedFeed, ranked: RankedUsers, pair: int) -> tuple[FeatureTrace, ...]:
    """Those that added or took most first. A feature without a value is unknown."""
    reranker = served.release.reranker
    values = ranked.features[[pair]]
    rows = zip(reranker.names, values[0].tolist(), reranker.contributions(values)[0].tolist(), strict=True)
    traces = [FeatureTrace(name, None if np.isnan(value) else value, added) for name, value, added in rows]
    return tuple(sorted(traces, key=lambda each: -abs(each.added)))


def _slate(served: ServedFeed, ranked: RankedUsers, pair: int) -> SlateTrace | None:
    places = np.flatnonzero(ranked.slates.pairs == pair)
    if not len(places):
        return None
    place, config = int(places[0]), served.release.snapshot_with(served.choice.changes).config.slate
    above, score = ranked.slates.pairs[:place], ranked.scores[pair]
    rows = ranked.candidates.item_rows
    creators = served.release.items.creator[rows[above[max(0, place - config.window + 1) :]]]
    exposure = served.release.ranking_snapshot.exposure
    return SlateTrace(
        score_rank=1 + int(np.count_nonzero(ranked.scores > score)),
        passed_by=int(np.count_nonzero(ranked.scores[above] < score)),
        relaxed=bool(ranked.slates.relaxed[place]),
        exposure=0.0 if exposure is None else float(exposure[rows[pair]]),
        creator_above=int(np.count_nonzero(creators == served.release.items.creator[rows[pair]])),
        window=config.window,
        per_creator=config.per_creator,
    )
