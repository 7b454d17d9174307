"""`rank_users`: the one path from candidates to lists, for the night, batch inference, the server and the benchmarks.

Shapes: B users to rank for, I items, P pairs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contracts.errors import ReleaseCorrupt
from contracts.request_stages import stage
from ranking.attribution import Attributor
from ranking.candidates import (
    BITS,
    CandidateConfig,
    NearestItems,
    fresh_rows,
    popular_of,
    taken,
    union_candidates,
    unseen_neighbours,
)
from ranking.cooccurrence_features import Transitions, cooccurrence_features
from ranking.fatigue import PairFatigue, ShownItems, UserImpressions
from ranking.feature_arrays import SOURCES, Candidates, Floats, Items, Rows, Users
from ranking.impression_features import impression_features
from ranking.pair_features import pair_features
from ranking.reason_calibration import ReasonConfig
from ranking.reranker import RerankerConfig
from ranking.slate import PrecedingItems, SlateConfig, Slates, slates


class RankingConfig(BaseModel):
    """One config a step; a release contains it, so that the server ranks as the night measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: CandidateConfig = CandidateConfig()
    reranker: RerankerConfig = RerankerConfig()
    slate: SlateConfig = SlateConfig()
    reasons: ReasonConfig = ReasonConfig()


class Scorer(Protocol):
    """A fitted re-ranker."""

    @property
    def uses_cooccurrence(self) -> bool:
        """Whether it reads the co-occurrence features too."""
        ...

    @property
    def uses_impressions(self) -> bool:
        """Whether it reads the features of impressions too."""
        ...

    def score(self, features: Floats, item_rows: Rows | None = None) -> Floats:
        """[P] scores, comparable within one user's candidates. Knowing `item_rows` [P] makes it faster."""
        ...


class ExplainedScorer(Scorer, Attributor, Protocol):
    """A scorer of a release, whose scores can be explained."""

    @property
    def names(self) -> tuple[str, ...]:
        """The features that it reads, in order."""
        ...


@dataclass(frozen=True)
class RankingSnapshot:
    """Users, items and the index over their vectors at one instant, and how lists are made of them."""

    users: Users
    items: Items
    index: NearestItems
    config: RankingConfig
    as_of_hours: float
    """The instant in hours since 1970."""
    transitions: Transitions | None = None
    """Needed by a re-ranker that reads co-occurrence features."""
    exposure: Floats | None = None
    """[I] share of users with each item among their first ones (`item_exposure.py`); without it, no item is common."""
    impressions: UserImpressions | None = None
    """Needed by a re-ranker that reads features of impressions."""

    @cached_property
    def fresh(self) -> Rows:
        """The newest items that are candidates for all users."""
        return fresh_rows(self.items, self.config.candidates.fresh)

    @cached_property
    def popular(self) -> Rows:
        """The popular items that are candidates for all users."""
        return popular_of(self.items, self.config.candidates)

    def candidates(
        self, user_rows: Rows, excluded: NDArray[np.bool_] | None = None, unhidden: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """The union of all sources, without the users' histories and without `excluded`, [I] or [B, I]. Items of the
        histories that are `unhidden` stay."""
        return union_candidates(
            self.users,
            self.items,
            user_rows,
            neighbours=unseen_neighbours(
                self.index, self.users, user_rows, self.config.candidates.neighbours, unhidden
            ),
            fresh=self.fresh,
            popular=self.popular,
            excluded=excluded,
            unhidden=unhidden,
        )

    def features(self, candidates: Candidates, *, cooccurrence: bool = False) -> Floats:
        """[P, F] features of the candidates, with `cooccurrence` those of `ALL_FEATURE_NAMES`. Raises `ReleaseCorrupt`
        where the tables for these are missing."""
        if cooccurrence and self.transitions is None:
            raise ReleaseCorrupt("the re-ranker reads co-occurrence features, but there are no tables; publish again")
        tables = self.transitions if cooccurrence else None
        return candidate_features(self.users, self.items, candidates, self.as_of_hours, tables)

    def features_of(
        self, reranker: Scorer, candidates: Candidates, user_rows: Rows, shown: ShownItems | None = None
    ) -> Floats:
        """[P, F] the features that a re-ranker reads. `shown` is what the users were shown, if more than the snapshot
        has. Raises `ReleaseCorrupt` where tables are missing."""
        features = self.features(candidates, cooccurrence=reranker.uses_cooccurrence)
        if not reranker.uses_impressions:
            return features
        if self.impressions is None:
            raise ReleaseCorrupt("the re-ranker reads impressions, but there are none; publish again")
        seen = impression_features(self.impressions, candidates, user_rows, self.as_of_hours, shown)
        return np.concatenate([features, seen], axis=1)


@dataclass(frozen=True)
class RankedUsers:
    """Candidates of some users with their features and scores, and the slates made of them."""

    candidates: Candidates
    features: Floats  # [P, F]
    scores: Floats  # [P]
    slates: Slates
    shown: ShownItems | None = None
    """What the users were shown before."""
    fatigue: PairFatigue | None = None
    """Where any of the users was shown anything before."""


def rank_users(
    snapshot: RankingSnapshot,
    reranker: Scorer,
    user_rows: Rows,
    k: int,
    *,
    excluded: NDArray[np.bool_] | None = None,
    unhidden: NDArray[np.bool_] | None = None,
    shown: ShownItems | None = None,
    preceding: Sequence[Rows] | None = None,
) -> RankedUsers:
    """At most `k` items for each user: candidates, features, scores, slate. A longer slate begins with the shorter one.

    `excluded`, [I] or [B, I], is true for items to leave out; `unhidden` for items of the history that may come again.
    `shown` is what these users were shown before; `preceding` the items [B] that stood right before each list. A user's
    list depends on no other user in the call, but where an approximate index searches deeper for a longer history.
    """
    fatigue = None
    with stage("candidates"):
        candidates = snapshot.candidates(user_rows, excluded, unhidden)
        if shown is not None:
            fatigue = shown.of_pairs(candidates, user_rows)
            kept = fatigue.remaining > 0
            candidates, fatigue = taken(candidates, kept), fatigue.taken(kept)
    with stage("features"):
        features = snapshot.features_of(reranker, candidates, user_rows, shown)
    with stage("scores"):
        scores = reranker.score(features, candidates.item_rows)
    with stage("slate"):
        config, exposure = snapshot.config.slate, snapshot.exposure
        above = None if preceding is None else PrecedingItems(user_rows, preceding)
        chosen = slates(
            snapshot.items, candidates, scores, config, k=k, exposure=exposure, fatigue=fatigue, preceding=above
        )
    return RankedUsers(candidates, features, scores, chosen, shown, fatigue)


def candidate_features(
    users: Users, items: Items, candidates: Candidates, as_of_hours: float, transitions: Transitions | None
) -> Floats:
    """[P, F] in the order of `FEATURE_NAMES`; with tables of transitions, in the order of `ALL_FEATURE_NAMES`."""
    features = pair_features(users, items, candidates, as_of_hours)
    if transitions is None:
        return features
    return np.concatenate([features, cooccurrence_features(users, transitions, candidates)], axis=1)


def first_sources(bits: NDArray[np.uint8]) -> NDArray[np.str_]:
    """The first source of each candidate."""
    return np.select([(bits & BITS[source]) > 0 for source in SOURCES], SOURCES, default="")
