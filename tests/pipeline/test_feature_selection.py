"""The co-occurrence features are selected where they decide, and left out where they are noise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.feature_assembly import read_ingested_tables, read_snapshot
from pipeline.feature_selection import FeatureSelection, candidate_ndcg, select_features
from pipeline.item_transitions import night_transitions
from ranking import cooccurrence_features
from ranking.feature_names import (
    ALL_FEATURE_NAMES,
    COOCCURRENCE_NAMES,
    EVERY_FEATURE_NAME,
    FEATURE_NAMES,
    IMPRESSION_NAMES,
)
from ranking.reranker import RerankerConfig, train
from ranking.training_pairs import LabelledPairs
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade

CONFIG = RerankerConfig(rounds=20, models=2, min_leaf_pairs=5, negative_share=1, retrieval_weight=0)
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
CUTOFFS = [FIRST + timedelta(days=7 * week) for week in range(3)]
USERS, CANDIDATES = 60, 12


def week(seed: int, *, informative: bool, users: int = USERS) -> LabelledPairs:
    """Each user has one label among twelve candidates; `after_last` reveals it where it is informative."""
    rng = np.random.default_rng(seed)
    features = rng.random((users * CANDIDATES, len(ALL_FEATURE_NAMES)), np.float32)
    labels = np.zeros((users, CANDIDATES), np.int32)
    labels[np.arange(users), rng.integers(0, CANDIDATES, users)] = 1
    if informative:
        features[:, ALL_FEATURE_NAMES.index("after_last")] += 3 * labels.ravel()
    return LabelledPairs(features, labels.ravel(), np.repeat(np.arange(users, dtype=np.int32), CANDIDATES))


def weeks(*, informative: bool) -> dict[datetime, LabelledPairs]:
    return {cutoff: week(seed, informative=informative) for seed, cutoff in enumerate(CUTOFFS)}


def test_features_that_decide_are_selected() -> None:
    selection = select_features(weeks(informative=True), CUTOFFS, CONFIG)
    assert selection.names == ALL_FEATURE_NAMES
    assert selection.gain is not None
    assert selection.gain.low > 0.3
    assert selection.summary["cooccurrence"] is True


def test_noise_is_left_out() -> None:
    selection = select_features(weeks(informative=False), CUTOFFS, CONFIG)
    assert selection.names == FEATURE_NAMES
    assert selection.gain is not None
    assert selection.summary == {"cooccurrence": False, "cooccurrence_gain": str(selection.gain)}


def test_the_selection_keeps_what_its_validation_trained() -> None:
    """The stage uses it again: the re-ranker of the last rehearsal is the same."""
    pairs = weeks(informative=False)
    selection = select_features(pairs, CUTOFFS, CONFIG)
    assert selection.trained_on == tuple(CUTOFFS[:-1])
    assert selection.trained is not None
    again = train([selection.restrict(pairs[cutoff]) for cutoff in CUTOFFS[:-1]], CONFIG, selection.names)
    last = selection.restrict(pairs[CUTOFFS[-1]]).features
    np.testing.assert_array_equal(selection.trained.reranker.score(last), again.reranker.score(last))


def test_the_labels_of_the_last_window_decide_and_train_nothing() -> None:
    pairs = weeks(informative=True)
    pairs[CUTOFFS[-1]] = week(9, informative=False)
    assert not select_features(pairs, CUTOFFS, CONFIG).uses_cooccurrence


@pytest.mark.parametrize("kind", ["informative", "noise"])
def test_features_of_impressions_are_selected_where_they_decide(kind: str) -> None:
    informative = kind == "informative"
    pairs = weeks(informative=False)
    for cutoff, pairs_of in pairs.items():
        seen = np.random.default_rng(cutoff.day).random((len(pairs_of.labels), len(IMPRESSION_NAMES)), np.float32)
        seen[:, 2] += 3 * pairs_of.labels * informative
        pairs[cutoff] = replace(pairs_of, features=np.concatenate([pairs_of.features, seen], axis=1))
    selection = select_features(pairs, CUTOFFS, CONFIG)
    assert selection.names == ((*FEATURE_NAMES, *IMPRESSION_NAMES) if informative else FEATURE_NAMES)
    assert selection.uses_impressions == selection.summary["impression_features"] == informative
    restricted = selection.restrict(pairs[FIRST]).features
    assert restricted.shape[1] == len(selection.names)
    if informative:
        assert restricted[:, -1].tolist() == pairs[FIRST].features[:, -1].tolist()
        forced = CONFIG.model_copy(update={"impression_features": "always", "cooccurrence": "always"})
        assert select_features(pairs, CUTOFFS, forced).names == EVERY_FEATURE_NAME


def test_a_setting_forces_the_choice_without_a_validation() -> None:
    never = select_features(weeks(informative=True), CUTOFFS, CONFIG.model_copy(update={"cooccurrence": "never"}))
    always = select_features(weeks(informative=False), CUTOFFS, CONFIG.model_copy(update={"cooccurrence": "always"}))
    assert (never, always) == (FeatureSelection(FEATURE_NAMES), FeatureSelection(ALL_FEATURE_NAMES))


@pytest.mark.parametrize("users", [0, 19])
def test_too_few_users_select_nothing(users: int) -> None:
    pairs = weeks(informative=True)
    pairs[CUTOFFS[-1]] = week(9, informative=True, users=users)
    assert select_features(pairs, CUTOFFS, CONFIG) == FeatureSelection(FEATURE_NAMES)


def test_nothing_to_train_on_selects_nothing() -> None:
    pairs = weeks(informative=True)
    assert select_features(pairs, CUTOFFS[-1:], CONFIG) == FeatureSelection(FEATURE_NAMES)
    empty = replace(pairs[CUTOFFS[0]], labels=np.zeros(USERS * CANDIDATES, np.int32))
    assert select_features({FIRST: empty, CUTOFFS[-1]: pairs[CUTOFFS[-1]]}, [FIRST, CUTOFFS[-1]], CONFIG).gain is None


def test_restricted_pairs_have_the_selected_features() -> None:
    pairs = week(0, informative=True)
    assert FeatureSelection(FEATURE_NAMES).restrict(pairs).features.shape[1] == len(FEATURE_NAMES)
    assert FeatureSelection(ALL_FEATURE_NAMES).restrict(pairs).features.shape[1] == len(FEATURE_NAMES) + len(
        COOCCURRENCE_NAMES
    )


def test_ndcg_of_candidates_by_hand() -> None:
    users = np.array([4, 4, 4, 9, 9], np.int32)
    pairs = LabelledPairs(np.zeros((5, 0), np.float32), np.array([0, 1, 0, 0, 0], np.int32), users)
    ndcg = candidate_ndcg(pairs, np.array([3.0, 2.0, 1.0, 5.0, 4.0]))
    assert ndcg[0] == pytest.approx(1 / np.log2(3))  # the label is second
    assert np.isnan(ndcg[1])  # a user without a label


def test_users_who_opted_out_of_training_are_in_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`u1` clicked `a`, then saved `b`; this is in the tables while `u1` trains shared models."""
    monkeypatch.setattr(cooccurrence_features, "MIN_USERS", 1)
    night = handmade(tmp_path)
    snapshot = read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())
    assert night_transitions(night, snapshot).after.nnz == 1
    examples = night.lake.scan("retrieval_examples", night.splits.as_of).collect()
    silent = examples.with_columns(trainable=pl.col("trainable") & (pl.col("user_id") != "u1"))
    night.overwrite("retrieval_examples", silent)
    assert night_transitions(night, snapshot).after.nnz == 0
