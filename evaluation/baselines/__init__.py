"""The baselines that keep a night honest, each behind `fit` and `recommend` on the same rows as the final ranking."""

from evaluation.baselines.collaborative import Ials, ItemKnn
from evaluation.baselines.ials import IalsConfig
from evaluation.baselines.item_knn import ItemKnnConfig
from evaluation.baselines.popularity import MostPopular, NewestFirst
from evaluation.baselines.recommender import Baseline, Recommender


def night_baselines(seed: int) -> tuple[Baseline, ...]:
    """The six that every night and every backtest is measured beside."""
    return (NewestFirst(), MostPopular(1), MostPopular(7), MostPopular(28), ItemKnn(), Ials(seed=seed))


__all__ = [
    "Baseline",
    "Ials",
    "IalsConfig",
    "ItemKnn",
    "ItemKnnConfig",
    "MostPopular",
    "NewestFirst",
    "Recommender",
    "night_baselines",
]
