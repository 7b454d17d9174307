"""Loads the machine code of ranking before a request needs it: ranks two items for one user.

Numba reads the code from disk at the first call, in 0.6 s and 25 MB. A server does so once, before it forks workers.
"""

from dataclasses import dataclass

import numpy as np

from contracts.csr import offsets_of
from ranking.feature_arrays import Floats, Items, Rows, Users, ids_of
from ranking.feature_names import ITEM_FEATURE_NAMES, USER_FEATURE_NAMES
from ranking.rank_users import RankingConfig, RankingSnapshot, rank_users
from ranking.retrieval_score import RetrievalScorer
from ranking.tree_ensemble import TreeEnsemble
from ranking.tree_shap import TreeContributions

ONE_EACH = offsets_of(np.ones(1, np.int64))


@dataclass(frozen=True)
class _BothItems:
    """The answer of an index of two items."""

    rows: Rows
    scores: Floats

    def search(self, _queries: Floats, _k: int) -> "_BothItems":
        """See `NearestItems.search`."""
        return self


def load_compiled_code() -> None:
    """Call each compiled function with the types that its arguments have in a feed."""
    index = _BothItems(np.array([[0, 1]], np.int32), np.zeros((1, 2), np.float32))
    snapshot = RankingSnapshot(_user(), _items(), index, RankingConfig(), 0.0)
    features = rank_users(snapshot, RetrievalScorer(), np.zeros(1, np.int32), k=1).features
    trees = _tree()
    trees.scores(features, np.arange(len(features)))
    if contributions := TreeContributions.of(trees, np.zeros(features.shape[1], np.int32)):
        contributions.of_pairs(features)


def _user() -> Users:
    """One user, who saved the first item."""
    number = np.ones(1, np.float32)
    return Users(
        ids=ids_of(["user"]),
        region=np.zeros(1, np.int32),
        vectors=np.ones((1, 1), np.float32),
        features=np.zeros((1, len(USER_FEATURE_NAMES)), np.float32),
        history_offsets=ONE_EACH,
        history_items=np.zeros(1, np.int32),
        history_saves=number,
        history_clicks=number,
        history_hours=np.zeros(1),
    )


def _items() -> Items:
    code, vectors = np.zeros(2, np.int32), np.ones((2, 1), np.float32)
    return Items(
        ids=ids_of(["first", "second"]),
        creator=code,
        language=code,
        category_offsets=np.arange(3),
        category_codes=code,
        created_hours=np.zeros(2),
        vectors=vectors,
        text_vectors=vectors,
        features=np.zeros((2, len(ITEM_FEATURE_NAMES)), np.float32),
    )


def _tree() -> TreeEnsemble:
    """One tree of one split."""
    return TreeEnsemble(
        columns=np.zeros(1, np.int32),
        nan_values=np.zeros(1, np.float32),
        models=ONE_EACH,
        trees=ONE_EACH,
        nodes=np.array([[0], [-1], [-2]], np.int32),
        thresholds=np.zeros(1, np.float32),
        leaves=np.array([0.0, 1.0]),
        counts=np.array([2]),
        leaf_counts=np.array([1, 1]),
    )
