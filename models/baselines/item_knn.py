"""Item-kNN: items near those that a user liked (Sarwar et al. 2001, doi:10.1145/371920.372071), by `implicit`."""

from typing import Literal

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix

from evaluation.rankings import Rows
from evaluation.top_k import Scores, ScoresOf


class ItemKnnConfig(BaseModel):
    """Settings of item-kNN."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: int = Field(100, ge=1, description="nearest items kept for each item")
    weighting: Literal["cosine", "tfidf", "bm25"] = Field("tfidf", description="weight of a positive")
    k1: float = Field(1.2, gt=0, description="of bm25: how soon more positives stop counting")
    b: float = Field(0.75, ge=0, le=1, description="of bm25: how much popular items are held down")


def item_knn_scores(liked: csr_matrix, config: ItemKnnConfig, *, seed: int = 0, threads: int = 1) -> ScoresOf:
    """The sums of the similarities to what the users of `liked` [U, I] liked. Nothing is random."""
    del seed
    model = ItemItemRecommender(K=config.neighbours, num_threads=threads)
    model.fit(_weighted(liked, config), show_progress=False)

    def scores_of(user_rows: Rows) -> Scores:
        scores: Scores = (liked[user_rows] @ model.similarity).toarray().astype(np.float32)
        return scores

    return scores_of


def _weighted(liked: csr_matrix, config: ItemKnnConfig) -> csr_matrix:
    items = liked.T
    if config.weighting == "bm25":  # used as it is, as in implicit's BM25Recommender
        return bm25_weight(items, config.k1, config.b).T.tocsr()
    # implicit's TFIDFRecommender in two steps: alone it hands itself the wrong sparse format, and warns
    return normalize(tfidf_weight(items) if config.weighting == "tfidf" else items).T.tocsr()
