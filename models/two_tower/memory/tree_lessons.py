"""What a second look learns from: candidates of people of whom something was held out, and what they found."""

# U users, C candidates, F features, P pairs

from dataclasses import replace

import lightgbm as lgb
import numpy as np

from models.two_tower.memory.config import MemoryConfig, TreesConfig
from models.two_tower.memory.histories import Floats, Histories
from models.two_tower.memory.tower import MemoryTwoTower, alike
from models.two_tower.memory.trees import FEATURES, ItemFacts, Trees, facts_of, look_at
from models.two_tower.memory.validation import Questions


def with_trees(
    tower: MemoryTwoTower, past: Histories, teachers: Questions, config: MemoryConfig, *, seed: int
) -> MemoryTwoTower:
    """A tower that learned from `past`, and trees that learned from what it says of those who are to teach them."""
    facts, sizes = facts_of(past, tower.items_IV), config.trees
    pairs = [_pairs(tower, part, facts, sizes) for part in teachers.parts()]
    features_PF, found_P = (np.concatenate(column) for column in zip(*pairs, strict=True))
    data = lgb.Dataset(features_PF, found_P, feature_name=list(FEATURES))
    booster = lgb.train(_parameters(sizes, seed), data, num_boost_round=sizes.rounds)
    return replace(tower, config=config, trees=Trees(booster, facts, sizes))


def _pairs(tower: MemoryTwoTower, teachers: Questions, facts: ItemFacts, sizes: TreesConfig) -> tuple[Floats, Floats]:
    """[P, F] and [P] 1 where the person is to find the item."""
    scores_UI = alike(tower.scores(teachers.histories))
    look = look_at(scores_UI, teachers.histories, facts, sizes.candidates)
    users_UC = np.broadcast_to(np.arange(len(look.items_UC))[:, None], look.items_UC.shape)
    found_P = np.asarray(teachers.wanted[users_UC.ravel(), look.items_UC.ravel()]).ravel()
    unseen_P = np.isfinite(look.features_UCF[..., 0]).ravel()
    return look.features_UCF.reshape(-1, len(FEATURES))[unseen_P], found_P[unseen_P]


def _parameters(sizes: TreesConfig, seed: int) -> dict[str, object]:
    return {
        "objective": "binary",
        "learning_rate": sizes.learning_rate,
        "num_leaves": sizes.leaves,
        "min_data_in_leaf": sizes.min_leaf_pairs,
        "lambda_l2": sizes.l2,
        "feature_fraction": sizes.feature_share,
        "seed": seed,
        "num_threads": 1,  # threads that wait for each other at every leaf take minutes beside another busy process
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }
