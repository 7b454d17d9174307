"""Baselines that learn from who liked what: item-kNN and iALS of the `implicit` library.

Whoever has liked nothing yet gets the most popular list of 28 days.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import ItemItemRecommender, normalize, tfidf_weight
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from evaluation.baselines.masking import NOT_RANKED, best_unseen
from evaluation.baselines.orders import MostPopular
from evaluation.baselines.recommender import Recommender
from evaluation.lists import ItemSets, Lists, Mask, Rows
from evaluation.splits import Catalogue, Events

FALLBACK = MostPopular(days=28)


class ItemKnnConfig(BaseModel):
    """What item-kNN is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: int = Field(100, ge=1, description="nearest items kept for each item")


class IalsConfig(BaseModel):
    """What iALS is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(32, ge=1, description="length of a user and an item vector")
    regularization: float = Field(1.0, ge=0, description="weight of the vectors' squared length")
    alpha: float = Field(10.0, gt=0, description="confidence that a unit of log strength adds")
    epochs: int = Field(15, ge=1, description="times that users and items are solved in turn")


@dataclass(frozen=True)
class WithFallback:
    """Scores for those who have liked something, one popular list for the others."""

    scores_of: Callable[[Rows], NDArray[np.float32]]
    has_taste: Mask  # [all users]
    fallback: Recommender

    def recommend(self, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> Lists:
        """Lists [U, k]; an item that nothing speaks for is not listed."""
        rows = self.fallback.recommend(user_rows, k, rankable=rankable, seen=seen).rows.copy()
        tasteful = self.has_taste[user_rows]
        rows[tasteful] = best_unseen(self.scores_of, user_rows[tasteful], k, rankable=rankable, seen=seen).rows
        return Lists(rows)


@dataclass(frozen=True)
class ItemKnn:
    """Items near those a user liked, by cosine on TF-IDF weights (Sarwar et al. 2001, doi:10.1145/371920.372071)."""

    config: ItemKnnConfig = field(default_factory=ItemKnnConfig)
    name: str = "item_knn"

    def fit(self, history: Events, catalogue: Catalogue, cut: datetime) -> WithFallback:
        """Find each item's nearest neighbours."""
        liked = strengths(history)
        model = ItemItemRecommender(K=self.config.neighbours, num_threads=1)
        # implicit's TFIDFRecommender in two steps: alone it hands itself the wrong sparse format, and warns
        model.fit(normalize(tfidf_weight(liked.T)).T.tocsr(), show_progress=False)

        def scores_of(user_rows: Rows) -> NDArray[np.float32]:
            scores = (liked[user_rows] @ model.similarity).toarray()
            return np.where(scores > 0, scores, NOT_RANKED).astype(np.float32)

        return WithFallback(scores_of, _has_taste(liked), FALLBACK.fit(history, catalogue, cut))


@dataclass(frozen=True)
class Ials:
    """Implicit alternating least squares (Hu, Koren & Volinsky 2008, doi:10.1109/ICDM.2008.22).

    Confidence is 1 + alpha * log(1 + strength), the paper's second form. One thread: the same seed, the same lists.
    """

    config: IalsConfig = field(default_factory=IalsConfig)
    seed: int = 7
    name: str = "ials"

    def fit(self, history: Events, catalogue: Catalogue, cut: datetime) -> WithFallback:
        """Factorise who liked what."""
        liked = strengths(history)
        # implicit brings its own threads: a threaded BLAS beside them makes it up to ten times slower, it warns
        with threadpool_limits(1, "blas"):
            model = self._untrained()
            model.fit(_confidence(liked, self.config.alpha), show_progress=False)

        def scores_of(user_rows: Rows) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = model.user_factors[user_rows] @ model.item_factors.T
            return scores

        return WithFallback(scores_of, _has_taste(liked), FALLBACK.fit(history, catalogue, cut))

    def _untrained(self) -> AlternatingLeastSquares:
        return AlternatingLeastSquares(
            factors=self.config.embedding_size,
            regularization=self.config.regularization,
            iterations=self.config.epochs,
            num_threads=1,
            random_state=self.seed,
        )


def strengths(history: Events) -> csr_matrix:
    """[U, I] the summed gains of what each user clicked and saved."""
    liked = history.where(history.gains > 0)
    shape = (history.user_count, history.item_count)
    return csr_matrix((liked.gains, (liked.user_rows, liked.item_rows)), shape=shape, dtype=np.float32)


def _confidence(liked: csr_matrix, alpha: float) -> csr_matrix:
    confidence = liked.copy()
    confidence.data = 1 + alpha * np.log1p(confidence.data)
    return confidence


def _has_taste(liked: csr_matrix) -> Mask:
    has_taste: Mask = np.diff(liked.indptr) > 0
    return has_taste
