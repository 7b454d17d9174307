"""Matrix factorization, by `implicit`.

iALS: implicit alternating least squares (Hu, Koren & Volinsky 2008, doi:10.1109/ICDM.2008.22). BPR: Bayesian
personalized ranking (Rendle et al. 2009, arXiv:1205.2618).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import ModelFitError
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from contracts.errors import PeerFailed
from evaluation.top_k import Scores, ScoresOf


class IalsConfig(BaseModel):
    """Settings of iALS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(64, ge=1, description="length of a user and an item vector")
    regularization: float = Field(0.01, ge=0, description="weight of the vectors' squared length")
    alpha: float = Field(1.0, gt=0, description="confidence of a positive, or what a unit of log strength adds")
    epochs: int = Field(15, ge=1, description="times that users and items are solved in turn")
    confidence: Literal["linear", "log"] = Field(
        "linear", description="alpha * strength, or 1 + alpha * log(1 + strength), the paper's second form"
    )


def ials_factors(liked: csr_matrix, config: IalsConfig, *, seed: int, threads: int = 1) -> tuple[Scores, Scores]:
    """Solved vectors of users [U, D] and of items [I, D]. `liked` [U, I] holds strengths. With one thread, the same
    seed gives the same vectors. Raises `PeerFailed` where the systems have no finite solution."""
    # implicit brings its own threads: a threaded BLAS beside them makes it up to ten times slower, it warns
    with threadpool_limits(1, "blas"), _diverging("ials", config, "regularize more"):
        model = AlternatingLeastSquares(
            factors=config.embedding_size,
            regularization=config.regularization,
            alpha=1.0,
            iterations=config.epochs,
            num_threads=threads,
            random_state=seed,
        )
        model.fit(_confidence(liked, config), show_progress=False)
    return np.asarray(model.user_factors), np.asarray(model.item_factors)


def ials_scores(liked: csr_matrix, config: IalsConfig, *, seed: int, threads: int = 1) -> ScoresOf:
    """The inner products of solved vectors; raises as `ials_factors` does."""
    return _inner_products(*ials_factors(liked, config, seed=seed, threads=threads))


def _inner_products(users_UD: Scores, items_ID: Scores) -> ScoresOf:
    return lambda user_rows: users_UD[user_rows] @ items_ID.T


@contextmanager
def _diverging(name: str, config: BaseModel, remedy: str) -> Iterator[None]:
    """Raise `PeerFailed` with the remedy where a fit has no finite solution."""
    try:
        yield
    except ModelFitError as diverged:
        raise PeerFailed(f"{name}: {diverged} with {config!r}; {remedy}") from diverged


def _confidence(liked: csr_matrix, config: IalsConfig) -> csr_matrix:
    confidence = liked.copy()
    logs = 1 + config.alpha * np.log1p(liked.data)
    confidence.data = logs if config.confidence == "log" else config.alpha * liked.data
    return confidence


class BprConfig(BaseModel):
    """Settings of BPR."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(64, ge=1, description="length of a user and an item vector")
    learning_rate: float = Field(0.05, gt=0)
    regularization: float = Field(0.01, ge=0, description="weight of the vectors' squared length")
    epochs: int = Field(100, ge=1, description="passes over all positives")


def bpr_scores(liked: csr_matrix, config: BprConfig, *, seed: int, threads: int = 1) -> ScoresOf:
    """Inner products of vectors that rank a positive item above a random one.

    It trains in one thread, whatever `threads` is: several threads overwrite each other's steps and no two runs are
    alike. Raises `PeerFailed` where the steps were too large.
    """
    del threads
    model = BayesianPersonalizedRanking(
        factors=config.embedding_size,
        learning_rate=config.learning_rate,
        regularization=config.regularization,
        iterations=config.epochs,
        num_threads=1,
        random_state=seed,
    )
    with _diverging("bpr", config, "set a smaller learning_rate"):
        model.fit(liked, show_progress=False)
    return _inner_products(model.user_factors, model.item_factors)  # their last column is the item's bias
