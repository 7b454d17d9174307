"""Every baseline by name: those that score a matrix, and those that a night fits to its history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel
from scipy.sparse import csr_matrix

from evaluation.rankings import ItemSets, Mask, RankedLists, Rows
from evaluation.splits import Catalogue, Events
from evaluation.top_k import NOT_RANKED, Scores, ScoresOf, best_unseen
from models.baselines.item_similarity import EaseConfig, ItemKnnConfig, ease_scores, item_knn_scores
from models.baselines.matrix_factorization import BprConfig, IalsConfig, bpr_scores, ials_scores
from models.baselines.popularity import MostPopular, MostPopularConfig, NewestFirst, popularity_scores


class Recommender(Protocol):
    """A fitted baseline."""

    def recommend(self, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> RankedLists:
        """Lists [U, k] of rankable items that each user has not seen; shorter ones are padded with -1.

        `rankable` [I]; `seen` holds a set for every user of the log, not of `user_rows` alone.
        """
        ...


class Baseline(Protocol):
    """A baseline before it is fitted."""

    @property
    def name(self) -> str:
        """Its name in tables, metrics and gates."""
        ...

    def fit(self, history: Events, catalogue: Catalogue, cutoff: datetime) -> Recommender:
        """Fit to `history`, all of it strictly before `cutoff`."""
        ...


@dataclass(frozen=True)
class BaselineScorer:
    """A baseline that scores every item for a user of a matrix [U, I]."""

    config: type[BaseModel]
    scores: Callable[..., ScoresOf]
    """Takes the matrix, a `config`, `seed` and `threads` (0: every core)."""


SCORERS: Mapping[str, BaselineScorer] = {
    "most_popular": BaselineScorer(MostPopularConfig, popularity_scores),
    "item_knn": BaselineScorer(ItemKnnConfig, item_knn_scores),
    "ials": BaselineScorer(IalsConfig, ials_scores),
    "bpr": BaselineScorer(BprConfig, bpr_scores),
    "ease": BaselineScorer(EaseConfig, ease_scores),
}

FALLBACK = MostPopular(days=28)
NIGHT_IALS = IalsConfig(embedding_size=32, regularization=1.0, alpha=10.0, confidence="log")


@dataclass(frozen=True)
class WithFallback:
    """Scores for users with a click or save, one popular list for the others."""

    scores_of: ScoresOf
    has_positives: Mask  # [all users]
    fallback: Recommender

    def recommend(self, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> RankedLists:
        """Lists [U, k]; an item without a score is not listed."""
        rows = self.fallback.recommend(user_rows, k, rankable=rankable, seen=seen).rows.copy()
        scored = self.has_positives[user_rows]
        rows[scored] = best_unseen(self.scores_of, user_rows[scored], k, rankable=rankable, seen=seen).rows
        return RankedLists(rows)


@dataclass(frozen=True)
class NightScorer:
    """A scorer as a night measures it: fitted to strengths, with a popular list for users without a click or save."""

    name: str
    config: Any
    seed: int = 7
    keep_zeros: bool = field(default=True)
    """Whether an item of score 0 is listed."""

    def fit(self, history: Events, catalogue: Catalogue, cutoff: datetime) -> WithFallback:
        """Fit the scorer and the fallback. One thread: the same seed gives the same lists."""
        matrix = strengths(history)
        scores_of = SCORERS[self.name].scores(matrix, self.config, seed=self.seed, threads=1)
        has_positives: Mask = np.diff(matrix.indptr) > 0
        shown = scores_of if self.keep_zeros else _positive(scores_of)
        return WithFallback(shown, has_positives, FALLBACK.fit(history, catalogue, cutoff))


def night_baselines(seed: int) -> tuple[Baseline, ...]:
    """The six that every night and every backtest is measured beside."""
    item_knn = NightScorer("item_knn", ItemKnnConfig(), seed, keep_zeros=False)
    ials = NightScorer("ials", NIGHT_IALS, seed)
    return (NewestFirst(), MostPopular(1), MostPopular(7), MostPopular(28), item_knn, ials)


def strengths(history: Events) -> csr_matrix:
    """[U, I] the summed gains of what each user clicked and saved."""
    positive = history.where(history.gains > 0)
    shape = (history.user_count, history.item_count)
    return csr_matrix((positive.gains, (positive.user_rows, positive.item_rows)), shape=shape, dtype=np.float32)


def _positive(scores_of: ScoresOf) -> ScoresOf:
    def positive_scores(user_rows: Rows) -> Scores:
        scores = scores_of(user_rows)
        return np.where(scores > 0, scores, NOT_RANKED)

    return positive_scores
