"""Implicit alternating least squares (Hu, Koren & Volinsky 2008, doi:10.1109/ICDM.2008.22), by `implicit`."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from implicit.cpu.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import threadpool_limits

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored, Scores
from contracts.errors import PeerFailed
from evaluation.lists import Rows

if TYPE_CHECKING:
    from optuna import Trial


class IalsConfig(BaseModel):
    """What iALS is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(64, ge=1, description="length of a user and an item vector")
    regularization: float = Field(0.01, ge=0, description="weight of the vectors' squared length")
    alpha: float = Field(1.0, gt=0, description="confidence of a like")
    epochs: int = Field(15, ge=1, description="times that users and items are solved in turn")


class Ials(Peer):
    """The inner product of solved vectors."""

    name: ClassVar[str] = "ials"
    Config: ClassVar[type[BaseModel]] = IalsConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Size, regularization and alpha over the ranges that Rendle et al. 2022 (doi:10.1145/3523227.3548486) find
        to matter, and the number of sweeps."""
        return {
            "embedding_size": trial.suggest_categorical("embedding_size", [64, 128, 256]),
            "regularization": trial.suggest_float("regularization", 1e-3, 100, log=True),
            "alpha": trial.suggest_float("alpha", 0.3, 100, log=True),
            "epochs": trial.suggest_int("epochs", 5, 30),
        }

    def fit(self, pairs: pl.DataFrame) -> Scored:
        """Factorise who liked what. Raises `PeerFailed` where the systems have no finite solution."""
        known = liked(pairs)
        # implicit brings its own threads: a threaded BLAS beside them makes it up to ten times slower, it warns
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.config.embedding_size,
                regularization=self.config.regularization,
                alpha=self.config.alpha,
                iterations=self.config.epochs,
                num_threads=self.threads,
                random_state=self.seed,
            )
            try:
                model.fit(known.matrix, show_progress=False)
            except ModelFitError as diverged:
                raise PeerFailed(f"ials: {diverged} with {self.config!r}; regularize more") from diverged

        def scores_of(rows: Rows) -> Scores:
            scores: Scores = model.user_factors[rows] @ model.item_factors.T
            return scores

        return Scored(known, scores_of)
