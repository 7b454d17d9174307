"""Retrieval's own score: instead of a re-ranker, and as a part of one.

Shapes: P pairs, F features, S signals.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ranking.feature_arrays import Floats, Rows
from ranking.feature_names import FEATURE_NAMES
from ranking.signals import by_signal

RETRIEVAL_SCORE = FEATURE_NAMES.index("retrieval_score")


class RetrievalScorer:
    """Retrieval's own score, in place of a re-ranker that did not pass its gates."""

    names = FEATURE_NAMES
    uses_cooccurrence = uses_impressions = False

    def score(self, features: Floats, item_rows: Rows | None = None) -> Floats:  # noqa: ARG002  as every scorer
        """[P] the dot of each pair's vectors."""
        return features[:, RETRIEVAL_SCORE]

    def contributions(self, features: Floats) -> Floats:
        """[P, F] all of the score, as a contribution of its feature."""
        added = np.zeros(features.shape, np.float32)
        added[:, RETRIEVAL_SCORE] = self.score(features)
        return added

    def signal_contributions(self, features: Floats) -> Floats:
        """[P, S] all of the score, as a contribution of the feature's signal."""
        return by_signal(self.contributions(features), self.names)


class RetrievalPart(BaseModel):
    """What retrieval's own score adds beside the trees; the first line of a saved re-ranker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(ge=0, description="of the score")
    mean: float = Field(description="of the scores in training: contributions of the part are relative to it")

    def of(self, features: Floats) -> Floats:
        """[P] weighed scores."""
        weighed: Floats = np.float32(self.weight) * features[:, RETRIEVAL_SCORE]
        return weighed

    def above_mean(self, features: Floats) -> Floats:
        """[P] what the part adds beside its mean in training."""
        return self.of(features) - self.weight * self.mean
