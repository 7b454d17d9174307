"""iALS as a peer: what is tuned."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored
from models.baselines.ials import IalsConfig, ials_scores

if TYPE_CHECKING:
    from optuna import Trial


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
        return Scored(known, ials_scores(known.matrix, self.config, seed=self.seed, threads=self.threads))
