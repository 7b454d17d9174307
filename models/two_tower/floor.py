"""The safety floor: plain baselines on the validation split that selects the encoder."""

import numpy as np

from evaluation.top_k import ScoresOf
from models.baselines.ials import IalsConfig, ials_scores
from models.baselines.item_knn import ItemKnnConfig, item_knn_scores
from models.baselines.popularity import popularity_scores
from models.two_tower.holdout import HeldOut


def baseline_ndcg(held_out: HeldOut, k: int, seed: int) -> dict[str, float]:
    """Validation NDCG@k of popularity, item-kNN and iALS, fitted to what is not held out."""
    liked = held_out.past.pairs()
    baselines = {
        "most_popular": popularity_scores(liked),
        "item_knn": item_knn_scores(liked, ItemKnnConfig()),
        "ials": ials_scores(liked, IalsConfig(), seed=seed),
    }
    rows = held_out.users.astype(np.int32)

    def ndcg(scores_of: ScoresOf) -> float:
        return held_out.measure_scores(lambda some: scores_of(rows[some]), k)[1]

    return {name: ndcg(scores_of) for name, scores_of in baselines.items()}
