"""Scores of trees: equal to LightGBM's in every bit, whatever the values, the order and the number of pairs."""

import lightgbm as lgb
import numpy as np
import pytest

from contracts.errors import ReleaseCorrupt
from ranking.tree_ensemble import TreeEnsemble
from ranking.tree_kernel import compiled

PARAMETERS = {"objective": "regression", "num_leaves": 7, "min_data_in_leaf": 2, "verbose": -1, "num_threads": 1}


def table(seed: int, pairs: int) -> np.ndarray:
    """Column 0 has NaN, column 1 few values, column 2 one value, column 3 NaN in half of the tables."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(pairs, 5)).astype(np.float32)
    features[random.random(pairs) < 0.3, 0] = np.nan
    features[:, 1] = random.integers(0, 3, pairs)
    features[:, 2] = 4
    if seed % 2:
        features[::3, 3] = np.nan
    return features


def boosters(count: int = 2, parameters: dict | None = None) -> list[lgb.Booster]:
    models, settings = [], PARAMETERS | (parameters or {})
    for seed in range(count):
        features = table(seed, 400)
        labels = np.nan_to_num(features[:, 0] * 2 + features[:, 3] - features[:, 1] * features[:, 4])
        data = lgb.Dataset(features, labels.astype(np.float32), params=settings)
        models.append(lgb.train({**settings, "seed": seed}, data, num_boost_round=15 + seed))
    return models


@pytest.fixture(scope="module")
def models() -> list[lgb.Booster]:
    return boosters()


@pytest.mark.parametrize("pairs", [1, 255, 256, 257, 1000])
def test_scores_are_those_of_lightgbm_in_every_bit(models, pairs):
    features = table(7, pairs)
    features[0] = [np.inf, -np.inf, 0, np.nan, 1e30]
    expected = np.array([model.predict(features) for model in models])
    ensemble = TreeEnsemble.of(models)
    shuffled = np.random.default_rng(1).permutation(pairs)
    for order in (np.arange(pairs), shuffled, np.argsort(features[:, 1], kind="stable")):
        np.testing.assert_array_equal(ensemble.scores(features, order), expected)
        np.testing.assert_array_equal(ensemble.scores(np.asfortranarray(features), order), expected)


def test_values_on_a_threshold_go_where_lightgbm_sends_them(models):
    ensemble = TreeEnsemble.of(models)
    thresholds = np.unique(ensemble.thresholds)
    around = np.concatenate([np.nextafter(thresholds, np.float32(side)) for side in (-np.inf, np.inf)] + [thresholds])
    features = np.repeat(around[:, None], 5, axis=1).astype(np.float32)
    expected = np.array([model.predict(features) for model in models])
    np.testing.assert_array_equal(ensemble.scores(features, np.arange(len(features))), expected)


def test_a_tree_without_a_split_is_one_leaf():
    features = table(1, 30)
    constant = lgb.train(PARAMETERS, lgb.Dataset(features, np.full(30, 3.0, np.float32), params=PARAMETERS), 2)
    scores = TreeEnsemble.of([constant, *boosters(1)]).scores(features, np.arange(30))
    np.testing.assert_array_equal(scores[0], constant.predict(features))
    np.testing.assert_array_equal(scores[1], boosters(1)[0].predict(features))


def test_no_pairs_have_no_scores(models):
    assert TreeEnsemble.of(models).scores(np.zeros((0, 5), np.float32), np.zeros(0, np.int64)).shape == (2, 0)


def test_a_kind_of_split_that_is_never_trained_is_refused():
    features = table(2, 200)
    data = lgb.Dataset(features, features[:, 1] ** 2, categorical_feature=[1], params=PARAMETERS)
    by_category = lgb.train(PARAMETERS, data, num_boost_round=2)
    with pytest.raises(ReleaseCorrupt, match="a tree splits by '==', missing values as 'None'; publish again"):
        TreeEnsemble.of([by_category])


def test_code_that_cannot_be_kept_on_disk_is_compiled_all_the_same():
    space: dict = {}
    exec("def doubled(values):\n    values *= 2", space)  # noqa: S102  a function without a file has no folder either
    values = np.ones(3)
    compiled(space["doubled"])(values)
    assert values.tolist() == [2, 2, 2]
