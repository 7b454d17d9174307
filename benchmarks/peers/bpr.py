"""Bayesian personalised ranking (Rendle et al. 2009, arXiv:1205.2618), by the `implicit` library."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import ModelFitError
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored, Scores
from contracts.errors import PeerFailed
from evaluation.lists import Rows

if TYPE_CHECKING:
    from optuna import Trial


class BprConfig(BaseModel):
    """What BPR is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(64, ge=1, description="length of a user and an item vector")
    learning_rate: float = Field(0.05, gt=0)
    regularization: float = Field(0.01, ge=0, description="weight of the vectors' squared length")
    epochs: int = Field(100, ge=1, description="passes over all likes")


class Bpr(Peer):
    """The inner product of vectors that put a like above a random item."""

    name: ClassVar[str] = "bpr"
    Config: ClassVar[type[BaseModel]] = BprConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Everything."""
        return {
            "embedding_size": trial.suggest_categorical("embedding_size", [64, 128, 256]),
            "learning_rate": trial.suggest_float("learning_rate", 0.005, 0.3, log=True),
            "regularization": trial.suggest_float("regularization", 1e-4, 0.1, log=True),
            "epochs": trial.suggest_int("epochs", 20, 200, log=True),
        }

    def fit(self, pairs: pl.DataFrame) -> Scored:
        """Take gradient steps on pairs of a like and a random item, one thread: several overwrite one another's
        steps, and no two runs are alike. Raises `PeerFailed` where the steps were too large."""
        known = liked(pairs)
        model = BayesianPersonalizedRanking(
            factors=self.config.embedding_size,
            learning_rate=self.config.learning_rate,
            regularization=self.config.regularization,
            iterations=self.config.epochs,
            num_threads=1,
            random_state=self.seed,
        )
        try:
            model.fit(known.matrix, show_progress=False)
        except ModelFitError as diverged:
            raise PeerFailed(f"bpr: {diverged} with {self.config!r}; learn more slowly") from diverged

        def scores_of(rows: Rows) -> Scores:
            scores: Scores = model.user_factors[rows] @ model.item_factors.T  # their last column is the item's bias
            return scores

        return Scored(known, scores_of)
