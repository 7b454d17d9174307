"""BPR as a peer: what is tuned."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored
from models.baselines.bpr import BprConfig, bpr_scores

if TYPE_CHECKING:
    from optuna import Trial


class Bpr(Peer):
    """The inner product of vectors that rank a like above a random item."""

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
        """Raises `PeerFailed` where the steps were too large."""
        known = liked(pairs)
        return Scored(known, bpr_scores(known.matrix, self.config, seed=self.seed))
