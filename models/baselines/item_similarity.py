"""Scores from similarities of items: item-kNN and EASE.

Item-kNN: items near those that a user liked (Sarwar et al. 2001, doi:10.1145/371920.372071), by `implicit`. EASE: a
linear autoencoder without a diagonal (Steck 2019, doi:10.1145/3308558.3313710), in its closed form.
"""

from typing import Literal

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import inv
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from evaluation.top_k import ScoresOf


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
    return lambda user_rows: (liked[user_rows] @ model.similarity).toarray().astype(np.float32)


def _weighted(liked: csr_matrix, config: ItemKnnConfig) -> csr_matrix:
    items = liked.T
    if config.weighting == "bm25":  # used as it is, as in implicit's BM25Recommender
        return bm25_weight(items, config.k1, config.b).T.tocsr()
    # implicit's TFIDFRecommender in two steps: alone it hands itself the wrong sparse format, and warns
    return normalize(tfidf_weight(items) if config.weighting == "tfidf" else items).T.tocsr()


class EaseConfig(BaseModel):
    """Settings of EASE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    regularization: float = Field(500.0, gt=0, description="added to each item's count on the diagonal")
    most_items: int = Field(20_000, ge=1, description="a larger catalogue is refused: an inverse costs items^3")


def ease_scores(liked: csr_matrix, config: EaseConfig, *, seed: int = 0, threads: int = 0) -> ScoresOf:
    """Items as weighted sums of the other items of the users of `liked` [U, I]. Nothing is random."""
    del seed
    with threadpool_limits(threads or None, "blas"):
        weights_II = ease_weights(liked, config.regularization)
    return lambda user_rows: liked[user_rows] @ weights_II


def ease_weights(matrix: csr_matrix, regularization: float) -> NDArray[np.float32]:
    """[I, I] B of the paper: P = (X'X + lambda I)^-1, B = I - P / diag(P), zero on the diagonal."""
    gram_II = (matrix.T @ matrix).toarray().astype(np.float32)
    gram_II[np.diag_indices_from(gram_II)] += regularization
    weights_II: NDArray[np.float32] = inv(gram_II, overwrite_a=True)
    weights_II /= -np.diag(weights_II).copy()
    np.fill_diagonal(weights_II, 0)
    return weights_II
