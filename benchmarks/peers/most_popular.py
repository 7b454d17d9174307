"""The same list for everyone: what most users liked."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel, ConfigDict

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored
from models.baselines.popularity import popularity_scores

if TYPE_CHECKING:
    from optuna import Trial


class MostPopularConfig(BaseModel):
    """Nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MostPopular(Peer):
    """Items by the number of users who liked them."""

    name: ClassVar[str] = "most_popular"
    Config: ClassVar[type[BaseModel]] = MostPopularConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Nothing to tune."""
        del trial
        return {}

    def fit(self, pairs: pl.DataFrame) -> Scored:
        """Count."""
        known = liked(pairs)
        return Scored(known, popularity_scores(known.matrix))
