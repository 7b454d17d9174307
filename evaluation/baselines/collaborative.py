"""Item-kNN and iALS as a night measures them: on strengths, with a popular list for users without a like."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from scipy.sparse import csr_matrix

from evaluation.baselines.ials import IalsConfig, ials_scores
from evaluation.baselines.item_knn import ItemKnnConfig, item_knn_scores
from evaluation.baselines.popularity import MostPopular
from evaluation.baselines.recommender import Recommender, ScoresOf
from evaluation.rankings import ItemSets, Mask, RankedLists, Rows
from evaluation.splits import Catalogue, Events
from evaluation.top_k import NOT_RANKED, Scores, best_unseen

FALLBACK = MostPopular(days=28)
NIGHT_IALS = IalsConfig(embedding_size=32, regularization=1.0, alpha=10.0, confidence="log")


@dataclass(frozen=True)
class WithFallback:
    """Scores for users who have liked something, one popular list for the others."""

    scores_of: ScoresOf
    has_taste: Mask  # [all users]
    fallback: Recommender

    def recommend(self, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> RankedLists:
        """Lists [U, k]; an item without any score is not listed."""
        rows = self.fallback.recommend(user_rows, k, rankable=rankable, seen=seen).rows.copy()
        tasteful = self.has_taste[user_rows]
        rows[tasteful] = best_unseen(self.scores_of, user_rows[tasteful], k, rankable=rankable, seen=seen).rows
        return RankedLists(rows)


@dataclass(frozen=True)
class ItemKnn:
    """Items near those a user liked, by cosine on TF-IDF weights."""

    config: ItemKnnConfig = field(default_factory=ItemKnnConfig)
    name: str = "item_knn"

    def fit(self, history: Events, catalogue: Catalogue, cut: datetime) -> WithFallback:
        """Find each item's nearest neighbours."""
        liked = strengths(history)
        similarity_to = item_knn_scores(liked, self.config)

        def scores_of(user_rows: Rows) -> Scores:
            scores = similarity_to(user_rows)
            return np.where(scores > 0, scores, NOT_RANKED)

        return WithFallback(scores_of, _has_taste(liked), FALLBACK.fit(history, catalogue, cut))


@dataclass(frozen=True)
class Ials:
    """iALS of the log of strengths. One thread: the same seed, the same lists."""

    config: IalsConfig = NIGHT_IALS
    seed: int = 7
    name: str = "ials"

    def fit(self, history: Events, catalogue: Catalogue, cut: datetime) -> WithFallback:
        """Factorise who liked what."""
        liked = strengths(history)
        scores_of = ials_scores(liked, self.config, seed=self.seed)
        return WithFallback(scores_of, _has_taste(liked), FALLBACK.fit(history, catalogue, cut))


def strengths(history: Events) -> csr_matrix:
    """[U, I] the summed gains of what each user clicked and saved."""
    liked = history.where(history.gains > 0)
    shape = (history.user_count, history.item_count)
    return csr_matrix((liked.gains, (liked.user_rows, liked.item_rows)), shape=shape, dtype=np.float32)


def _has_taste(liked: csr_matrix) -> Mask:
    has_taste: Mask = np.diff(liked.indptr) > 0
    return has_taste
