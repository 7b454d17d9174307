"""EASE, a linear autoencoder without a diagonal (Steck 2019, doi:10.1145/3308558.3313710), in its closed form."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import inv
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from evaluation.rankings import Rows
from evaluation.top_k import Scores, ScoresOf


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

    def scores_of(user_rows: Rows) -> Scores:
        scores: Scores = liked[user_rows] @ weights_II
        return scores

    return scores_of


def ease_weights(matrix: csr_matrix, regularization: float) -> NDArray[np.float32]:
    """[I, I] B of the paper: P = (X'X + lambda I)^-1, B = I - P / diag(P), zero on the diagonal."""
    gram_II = (matrix.T @ matrix).toarray().astype(np.float32)
    gram_II[np.diag_indices_from(gram_II)] += regularization
    weights_II: NDArray[np.float32] = inv(gram_II, overwrite_a=True)
    weights_II /= -np.diag(weights_II).copy()
    np.fill_diagonal(weights_II, 0)
    return weights_II
