"""Baselines with one order for all users: newest first, and most popular within some days."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_matrix

from evaluation.rankings import ItemSets, Mask, RankedLists, Rows
from evaluation.splits import Catalogue, Events, Instants
from evaluation.top_k import ScoresOf, first_unseen


class MostPopularConfig(BaseModel):
    """It has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def popularity_scores(
    matrix: csr_matrix, config: MostPopularConfig | None = None, *, seed: int = 0, threads: int = 0
) -> ScoresOf:
    """The number of users of each item of `matrix` [U, I], the same for all users. Nothing is random or parallel."""
    del config, seed, threads
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)
    return lambda user_rows: np.tile(counts, (len(user_rows), 1))


@dataclass(frozen=True)
class SameOrder:
    """One order of the whole catalogue [I], best first."""

    order: Rows

    def recommend(self, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> RankedLists:
        """The first `k` rankable items of the order that each user has not seen."""
        return first_unseen(self.order[rankable[self.order]], user_rows, k, seen)


@dataclass(frozen=True)
class NewestFirst:
    """The newest items; where `created_at` is unknown, an item is as old as its first event."""

    name: str = "newest_first"

    def fit(self, history: Events, catalogue: Catalogue, cutoff: datetime) -> SameOrder:
        """Order the catalogue by age."""
        age_rank = _age_rank(history.between(None, cutoff), catalogue)
        return SameOrder(np.argsort(age_rank, kind="stable").astype(np.int32))


@dataclass(frozen=True)
class MostPopular:
    """The items with most clicks and saves in the last `days`; equals by age, the newer first."""

    days: int

    @property
    def name(self) -> str:
        """`popular_7d` for seven days."""
        return f"popular_{self.days}d"

    def fit(self, history: Events, catalogue: Catalogue, cutoff: datetime) -> SameOrder:
        """Count clicks and saves in the days before `cutoff`."""
        recent = history.between(cutoff - timedelta(days=self.days), cutoff)
        counts = np.bincount(recent.item_rows[recent.gains > 0], minlength=history.item_count)
        return SameOrder(np.lexsort((_age_rank(history, catalogue), -counts)).astype(np.int32))


def _age_rank(history: Events, catalogue: Catalogue) -> np.ndarray:
    """[I] a number that is lower the newer an item is; items without any time come last."""
    born = np.where(np.isnat(catalogue.created_at), _first_seen(history), catalogue.created_at)
    return np.where(np.isnat(born), np.iinfo(np.int64).max, -born.astype(np.int64))


def _first_seen(history: Events) -> Instants:
    first = np.full(history.item_count, np.iinfo(np.int64).max)
    np.minimum.at(first, history.item_rows, history.timestamps.astype("datetime64[us]").astype(np.int64))
    unseen = first == np.iinfo(np.int64).max
    return np.where(unseen, np.datetime64("NaT"), first.astype("datetime64[us]"))
