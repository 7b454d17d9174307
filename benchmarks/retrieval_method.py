"""What each method of the retrieval benchmark can do: fit to pairs, then list the best items of any user.

Shapes: U listed users, K places, I items of the training rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from pydantic import BaseModel
from scipy.sparse import csr_matrix

from benchmarks.datasets import Split
from benchmarks.interaction_matrix import InteractionMatrix
from evaluation import item_sets
from evaluation.top_k import ScoresOf, TopK, best_unseen

if TYPE_CHECKING:
    from optuna import Trial


class FittedMethod(ABC):
    """What `fit` returns."""

    @property
    @abstractmethod
    def item_ids(self) -> pl.Series:
        """The items that rows of a list point to."""

    @property
    def curves(self) -> Mapping[str, Sequence[float]]:
        """Figures of the training by name, one a step; empty for a method without steps."""
        return {}

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Settings that the method selected in its fit, as JSON."""
        return {}

    @abstractmethod
    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The `k` best items of each user, without those of the user's training rows."""


@dataclass(frozen=True)
class RetrievalMethod(ABC):
    """A method before it is fitted; `threads` 0 is every core."""

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    config: Any
    _: KW_ONLY
    seed: int
    threads: int

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """The values of one trial of the tuning, by the config's field names; empty where nothing is tuned."""
        del trial
        return {}

    def refuses(self, split: Split) -> str:
        """Why the method cannot take this data; empty where it can."""
        del split
        return ""

    @abstractmethod
    def fit(self, pairs: pl.DataFrame) -> FittedMethod:
        """Fit to rows `user_id, item_id`; where they have an order, also `timestamp`, oldest first."""


@dataclass(frozen=True)
class ScoredMethod(FittedMethod):
    """A fitted method with one score for each user and item: `scores_of` maps rows of the matrix to scores [U, I]."""

    interactions: InteractionMatrix
    scores_of: ScoresOf

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows."""
        return self.interactions.item_ids

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The best unseen items of each user."""
        rows = self.interactions.rows_of(user_ids)
        return best(lambda part: self.scores_of(rows[part]), self.interactions.matrix[rows], k)


def best(scores_of: ScoresOf, seen: csr_matrix, k: int) -> TopK:
    """The `k` unseen items of the highest score; `scores_of` gives [users, I] of some rows of `seen` [U, I]."""
    users, items = seen.shape
    user_rows, item_rows = seen.nonzero()
    masked = item_sets(user_rows.astype(np.int32), item_rows.astype(np.int32), users)
    rankable = np.ones(items, dtype=bool)
    return best_unseen(scores_of, np.arange(users, dtype=np.int32), k, rankable=rankable, seen=masked)
