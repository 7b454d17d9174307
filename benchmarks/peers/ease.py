"""EASE, a linear autoencoder without a diagonal (Steck 2019, doi:10.1145/3308558.3313710), in its closed form."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import inv
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from benchmarks.datasets import Split
from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored, Scores
from evaluation.lists import Rows

if TYPE_CHECKING:
    from optuna import Trial


class EaseConfig(BaseModel):
    """What EASE is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    regularization: float = Field(500.0, gt=0, description="added to each item's count on the diagonal")
    most_items: int = Field(20_000, ge=1, description="catalogues above this are left out: an inverse costs items^3")


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
        with threadpool_limits(self.threads or None, "blas"):
            weights_II = ease_weights(known.matrix, self.config.regularization)

        def scores_of(rows: Rows) -> Scores:
            scores: Scores = known.matrix[rows] @ weights_II
            return scores

        return Scored(known, scores_of)


def ease_weights(matrix: csr_matrix, regularization: float) -> NDArray[np.float32]:
    """[I, I] B of the paper: P = (X'X + lambda I)^-1, B = I - P / diag(P), zero on the diagonal."""
    gram_II = (matrix.T @ matrix).toarray().astype(np.float32)
    gram_II[np.diag_indices_from(gram_II)] += regularization
    weights_II: NDArray[np.float32] = inv(gram_II, overwrite_a=True)
    weights_II /= -np.diag(weights_II).copy()
    np.fill_diagonal(weights_II, 0)
    return weights_II
