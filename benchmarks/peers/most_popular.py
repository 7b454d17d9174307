"""The same list for everyone: what most people liked."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from benchmarks.pairs import liked
from benchmarks.peers.peer import Peer
from benchmarks.retriever import Scored

if TYPE_CHECKING:
    from optuna import Trial


class MostPopularConfig(BaseModel):
    """Nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MostPopular(Peer):
    """Items by the number of people who liked them."""

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
        counts = known.counts.astype(np.float32)
        return Scored(known, lambda rows: np.tile(counts, (len(rows), 1)))
