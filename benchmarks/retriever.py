"""What ours and every peer can do: learn from pairs, then list the best items of any user.

Shapes: U asked users, K places, I items of the training rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl
from pydantic import BaseModel
from scipy.sparse import csr_matrix

from benchmarks.datasets import Split
from benchmarks.pairs import Liked
from evaluation import item_sets
from evaluation.rankings import Rows
from evaluation.top_k import Scores, TopK, best_unseen

if TYPE_CHECKING:
    from optuna import Trial


class Fitted(Protocol):
    """What `fit` returns."""

    @property
    def item_ids(self) -> pl.Series:
        """The items that rows of a list point to."""
        ...

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The `k` best items of each user, without those of the user's training rows."""
        ...


@runtime_checkable
class Learned(Protocol):
    """A fitted method that can tell how its training went."""

    @property
    def curves(self) -> Mapping[str, Sequence[float]]:
        """Figures of the training by name, one a step."""
        ...


@runtime_checkable
class Chosen(Protocol):
    """A fitted method that chose its own settings."""

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Those that are not the defaults, as JSON holds them."""
        ...


class Retriever(Protocol):
    """A method before it has seen anything. `config` says what it is, `seed` and `threads` where it runs."""

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: Any, *, seed: int, threads: int) -> None:
        """Of a config of its own type; `threads` 0 is every core."""
        ...

    @property
    def config(self) -> Any:
        """What it is, a `Config`."""
        ...

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """The values of one trial of the tuning, by the config's field names; empty where nothing can be tuned."""
        ...

    def refuses(self, split: Split) -> str:
        """Why this data is not for the method; empty where it is."""
        ...

    def fit(self, pairs: pl.DataFrame) -> Fitted:
        """Learn from rows `user_id, item_id`; where they have an order, also `timestamp`, oldest first."""
        ...


@dataclass(frozen=True)
class Scored:
    """A fitted method that is one score a user and item: `scores_of` maps rows of `liked` to scores [U, I]."""

    liked: Liked
    scores_of: Callable[[Rows], Scores]

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows."""
        return self.liked.item_ids

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The best unseen items of each user."""
        rows = self.liked.rows_of(user_ids)
        return best(lambda part: self.scores_of(rows[part]), self.liked.matrix[rows], k)


def best(scores_of: Callable[[Rows], Scores], seen: csr_matrix, k: int) -> TopK:
    """The `k` unseen items of the highest score; `scores_of` gives [users, I] of some rows of `seen` [U, I]."""
    users, items = seen.shape
    user_rows, item_rows = seen.nonzero()
    masked = item_sets(user_rows.astype(np.int32), item_rows.astype(np.int32), users)
    rankable = np.ones(items, dtype=bool)
    return best_unseen(scores_of, np.arange(users, dtype=np.int32), k, rankable=rankable, seen=masked)
