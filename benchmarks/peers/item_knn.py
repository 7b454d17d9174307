"""Items near those that a user liked (Sarwar et al. 2001, doi:10.1145/371920.372071), by the `implicit` library."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import polars as pl
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored, Scores
from evaluation.lists import Rows

if TYPE_CHECKING:
    from optuna import Trial


class ItemKnnConfig(BaseModel):
    """What item-kNN is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: int = Field(100, ge=1, description="nearest items kept for each item")
    weighting: Literal["cosine", "tfidf", "bm25"] = Field("tfidf", description="what a like weighs")
    k1: float = Field(1.2, gt=0, description="of bm25: how soon more likes stop counting")
    b: float = Field(0.75, ge=0, le=1, description="of bm25: how much popular items are held down")


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
        model = ItemItemRecommender(K=self.config.neighbours, num_threads=self.threads)
        model.fit(self._weighted(known.matrix), show_progress=False)

        def scores_of(rows: Rows) -> Scores:
            scores: Scores = (known.matrix[rows] @ model.similarity).toarray().astype(np.float32)
            return scores

        return Scored(known, scores_of)

    def _weighted(self, matrix: csr_matrix) -> csr_matrix:
        items = matrix.T
        if self.config.weighting == "bm25":  # used as it is, as in implicit's BM25Recommender
            return bm25_weight(items, self.config.k1, self.config.b).T.tocsr()
        return normalize(tfidf_weight(items) if self.config.weighting == "tfidf" else items).T.tocsr()
