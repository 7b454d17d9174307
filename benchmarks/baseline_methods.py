"""The baselines as methods of the benchmark. `models.baselines` fits and scores; this module declares what is tuned."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from benchmarks.datasets import Split
from benchmarks.interaction_matrix import interaction_matrix
from benchmarks.retrieval_method import RetrievalMethod, ScoredMethod
from models.baselines import SCORERS

if TYPE_CHECKING:
    from optuna import Trial

EMBEDDING_SIZES = [64, 128, 256]


class BaselineMethod(RetrievalMethod):
    """A scorer of `models.baselines` on the matrix of the training rows."""

    def fit(self, pairs: pl.DataFrame) -> ScoredMethod:
        """Fit the scorer. Raises `PeerFailed` where its training diverges."""
        interactions = interaction_matrix(pairs)
        scorer = SCORERS[self.name]
        scores_of = scorer.scores(interactions.matrix, self.config, seed=self.seed, threads=self.threads)
        return ScoredMethod(interactions, scores_of)


class MostPopularMethod(BaselineMethod):
    """Items by their number of users; nothing is tuned."""

    name: ClassVar[str] = "most_popular"
    Config: ClassVar[type[BaseModel]] = SCORERS["most_popular"].config


class ItemKnnMethod(BaselineMethod):
    """The sum of the similarities to the user's items."""

    name: ClassVar[str] = "item_knn"
    Config: ClassVar[type[BaseModel]] = SCORERS["item_knn"].config

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Neighbours, weighting, and the two numbers of BM25."""
        weighting = trial.suggest_categorical("weighting", ["cosine", "tfidf", "bm25"])
        values = {"neighbours": trial.suggest_int("neighbours", 10, 1000, log=True), "weighting": weighting}
        if weighting != "bm25":
            return values
        return values | {"k1": trial.suggest_float("k1", 0.1, 100, log=True), "b": trial.suggest_float("b", 0, 1)}


class IalsMethod(BaselineMethod):
    """Inner products of the vectors of an alternating least-squares fit."""

    name: ClassVar[str] = "ials"
    Config: ClassVar[type[BaseModel]] = SCORERS["ials"].config

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Size, regularization and alpha over the ranges that Rendle et al. 2022 (doi:10.1145/3523227.3548486) find
        to matter, and the number of sweeps."""
        return {
            "embedding_size": trial.suggest_categorical("embedding_size", EMBEDDING_SIZES),
            "regularization": trial.suggest_float("regularization", 1e-3, 100, log=True),
            "alpha": trial.suggest_float("alpha", 0.3, 100, log=True),
            "epochs": trial.suggest_int("epochs", 5, 30),
        }


class BprMethod(BaselineMethod):
    """Inner products of vectors that rank a positive item above a random one."""

    name: ClassVar[str] = "bpr"
    Config: ClassVar[type[BaseModel]] = SCORERS["bpr"].config

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Every setting."""
        return {
            "embedding_size": trial.suggest_categorical("embedding_size", EMBEDDING_SIZES),
            "learning_rate": trial.suggest_float("learning_rate", 0.005, 0.3, log=True),
            "regularization": trial.suggest_float("regularization", 1e-4, 0.1, log=True),
            "epochs": trial.suggest_int("epochs", 20, 200, log=True),
        }


class EaseMethod(BaselineMethod):
    """Items as weighted sums of the user's other items."""

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[BaseModel]] = SCORERS["ease"].config

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Its regularization."""
        return {"regularization": trial.suggest_float("regularization", 1, 10_000, log=True)}

    def refuses(self, split: Split) -> str:
        """Too many items for a dense inverse."""
        items, most = len(split.item_ids), self.config.most_items
        if items <= most:
            return ""
        return f"{items:,} items, and the inverse of a dense matrix of items is held back above {most:,}"
