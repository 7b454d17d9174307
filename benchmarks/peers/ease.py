"""EASE as a peer: what is tuned, and what data it takes."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from benchmarks.datasets import Split
from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored
from models.baselines.ease import EaseConfig, ease_scores

if TYPE_CHECKING:
    from optuna import Trial


class Ease(Peer):
    """Items as weighted sums of the user's other items."""

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[BaseModel]] = EaseConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Its one number."""
        return {"regularization": trial.suggest_float("regularization", 1, 10_000, log=True)}

    def refuses(self, split: Split) -> str:
        """Too many items for a dense inverse."""
        items, most = len(split.item_ids), self.config.most_items
        if items <= most:
            return ""
        return f"{items:,} items, and the inverse of a dense matrix of items is held back above {most:,}"

    def fit(self, pairs: pl.DataFrame) -> Scored:
        """Invert the regularised counts of items liked together."""
        known = liked(pairs)
        return Scored(known, ease_scores(known.matrix, self.config, threads=self.threads))
