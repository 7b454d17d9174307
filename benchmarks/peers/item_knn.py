"""Item-kNN as a peer: what is tuned."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored
from models.baselines.item_knn import ItemKnnConfig, item_knn_scores

if TYPE_CHECKING:
    from optuna import Trial


class ItemKnn(Peer):
    """The sum of the similarities to what the user liked."""

    name: ClassVar[str] = "item_knn"
    Config: ClassVar[type[BaseModel]] = ItemKnnConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Neighbours, weighting, and the two numbers of BM25."""
        weighting = trial.suggest_categorical("weighting", ["cosine", "tfidf", "bm25"])
        chosen = {"neighbours": trial.suggest_int("neighbours", 10, 1000, log=True), "weighting": weighting}
        if weighting != "bm25":
            return chosen
        return chosen | {"k1": trial.suggest_float("k1", 0.1, 100, log=True), "b": trial.suggest_float("b", 0, 1)}

    def fit(self, pairs: pl.DataFrame) -> Scored:
        """Find each item's nearest neighbours."""
        known = liked(pairs)
        return Scored(known, item_knn_scores(known.matrix, self.config, threads=self.threads))
