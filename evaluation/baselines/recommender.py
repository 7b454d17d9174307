"""What every baseline can do. Fitted or not is a type: only what `fit` returns can recommend."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from evaluation.rankings import ItemSets, Mask, RankedLists, Rows
from evaluation.splits import Catalogue, Events
from evaluation.top_k import Scores

ScoresOf = Callable[[Rows], Scores]
"""[U, I] scores of some users of the matrix that was fitted."""


class Recommender(Protocol):
    """A fitted baseline."""

    def recommend(self, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> RankedLists:
        """Lists [U, k] of rankable items that each user has not seen; shorter ones are padded with -1.

        `rankable` [I]; `seen` holds a set for every user of the log, not of `user_rows` alone.
        """
        ...


class Baseline(Protocol):
    """A baseline before it has seen anything."""

    @property
    def name(self) -> str:
        """How tables, metrics and gates call it."""
        ...

    def fit(self, history: Events, catalogue: Catalogue, cut: datetime) -> Recommender:
        """Learn from `history`, all of it strictly before `cut`."""
        ...
