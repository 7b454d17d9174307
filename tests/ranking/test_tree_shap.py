"""Contributions of features: equal to LightGBM's `pred_contrib`, in a small part of its time."""

import time

import lightgbm as lgb
import numpy as np
import pytest

from ranking.feature_names import FEATURE_NAMES
from ranking.reranker import RerankerConfig, train
from ranking.signals import by_signal
from ranking.training_pairs import LabelledPairs
from ranking.tree_ensemble import TreeEnsemble
from ranking.tree_shap import MOST_SPLITS, TreeContributions
from tests.ranking.test_tree_ensemble import PARAMETERS, boosters, table


def of_lightgbm(models, features):
    """The sum over models, without the expected value."""
    return np.sum([model.predict(features, pred_contrib=True, num_threads=1)[:, :-1] for model in models], axis=0)


def of_tables(models, features, column_of=None):
    columns = np.arange(features.shape[1], dtype=np.int32) if column_of is None else np.array(column_of, np.int32)
    return TreeContributions.of(TreeEnsemble.of(models), columns).of_pairs(features)


@pytest.mark.parametrize("leaves", [2, 7, MOST_SPLITS + 1])
@pytest.mark.parametrize("pairs", [1, 64, 65, 300])
def test_contributions_are_those_of_lightgbm(leaves, pairs):
    models, features = boosters(parameters={"num_leaves": leaves}), table(7, pairs)
    features[0] = [np.inf, -np.inf, 0, np.nan, 1e30]
    np.testing.assert_allclose(of_tables(models, features), of_lightgbm(models, features), atol=1e-6)


def test_what_features_add_is_the_score_above_the_mean():
    models, features = boosters(), table(3, 50)
    scores = np.sum([model.predict(features) for model in models], axis=0)
    added = scores - of_tables(models, features).sum(axis=1)
    np.testing.assert_allclose(added, added[0], atol=1e-6)


def test_columns_of_several_features_add_what_their_features_add():
    models, features = boosters(), table(7, 65)
    of_features, of_groups = of_tables(models, features), of_tables(models, features, [0, 1, 1, 2, 0])
    sums = [of_features[:, [0, 4]], of_features[:, [1, 2]], of_features[:, [3]]]
    np.testing.assert_allclose(of_groups, np.stack([each.sum(axis=1) for each in sums], axis=1), atol=1e-6)


def test_a_tree_without_a_split_adds_nothing():
    features = table(1, 30)
    constant = lgb.train(PARAMETERS, lgb.Dataset(features, np.full(30, 3.0, np.float32), params=PARAMETERS), 2)
    assert not of_tables([constant], features).any()
    both = of_tables([constant, *boosters(1)], features)
    np.testing.assert_array_equal(both, of_tables(boosters(1), features))


def test_no_pairs_have_no_contributions():
    assert of_tables(boosters(1), np.zeros((0, 5), np.float32)).shape == (0, 5)


@pytest.mark.parametrize("leaves", [7, MOST_SPLITS + 2])
def test_a_reranker_with_small_or_large_trees_explains_all_the_same(leaves, monkeypatch):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, len(FEATURE_NAMES))).astype(np.float32)
    labels = (features[:, :3].sum(axis=1) > 1).astype(np.int32)
    week = LabelledPairs(features, labels, np.arange(30, dtype=np.int32).repeat(20))
    config = RerankerConfig(rounds=20, models=2, leaves=leaves, min_leaf_pairs=5, negative_share=1)
    model = train([week], config).reranker
    added, shown = model.contributions(features), features[:50]
    np.testing.assert_allclose(by_signal(added, model.names), model.signal_contributions(features), atol=1e-6)
    # without the tables, it is LightGBM's own
    ours = _least_seconds(lambda: model.contributions(shown))
    monkeypatch.setattr(TreeContributions, "of", lambda *_: None)
    del model.__dict__["_shap"], model.__dict__["_signal_shap"]
    np.testing.assert_allclose(added, model.contributions(features), atol=1e-6)
    if leaves == 7:
        # a third on quiet cores
        assert ours < _least_seconds(lambda: model.contributions(shown))
    np.testing.assert_allclose(by_signal(added, model.names), model.signal_contributions(features), atol=1e-6)


def _least_seconds(work):
    times = []
    for _ in range(5):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)
