"""Simulated clicks over candidates, and the re-rankers that learn from them."""

import numpy as np
import pytest

from benchmarks.position_report import lake_section
from benchmarks.position_simulation import (
    LEARNS_FROM,
    POPULARITY,
    PositionAssumptions,
    label_weeks,
    ndcg,
    outcomes,
    ranks_of,
    simulated,
)
from contracts.errors import LakeMissing
from ranking.feature_names import FEATURE_NAMES
from ranking.training_pairs import LabelledPairs

USERS, CANDIDATES = 40, 30
TASTE = FEATURE_NAMES.index("creator_share")
ASSUMED = PositionAssumptions(page=10, models=1, repetitions=1, mean_log_odds=-2, appeal_weight=2, shown_noise=0.3)


def week(seed: int) -> LabelledPairs:
    """Users save what is to their taste; popularity is another matter."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(USERS * CANDIDATES, len(FEATURE_NAMES))).astype(np.float32)
    features[:, POPULARITY] = np.tile(random.permutation(CANDIDATES), USERS)
    labels = (features[:, TASTE] > 1).astype(np.int32)
    return LabelledPairs(features, labels, np.repeat(np.arange(USERS, dtype=np.int32), CANDIDATES))


def test_pages_have_the_popular_items_on_top_and_clicks_fall_with_the_place() -> None:
    appeal = np.full(USERS * CANDIDATES, 0.8)
    clicked = simulated(week(1), appeal, 1.0, ASSUMED, np.random.default_rng(7))
    assert clicked.shown is not None
    places, shown = clicked.shown.positions, clicked.shown.were_shown
    assert shown.sum() == USERS * ASSUMED.page
    assert not clicked.clicked[~shown].any()
    assert clicked.labels[places == 0].mean() > 2 * clicked.labels[places == 4].mean()
    assert np.corrcoef(places[shown], clicked.features[shown, POPULARITY])[0, 1] > 0.5


def test_ndcg_of_two_users_by_hand() -> None:
    users, appeals = np.array([3, 3, 8, 8], np.int32), np.array([1.0, 0, 1, 0])
    assert ranks_of(users, np.array([1.0, 2, 2, 1])).tolist() == [1, 0, 0, 1]
    assert ndcg(users, appeals, np.array([1.0, 2, 2, 1])).tolist() == pytest.approx([1 / np.log2(3), 1])


def test_every_way_to_learn_is_measured_and_described() -> None:
    found = outcomes([week(seed) for seed in range(4)], (2.0,), ASSUMED)
    quality = {each.learns: each.ndcg for each in found}
    assert set(quality) == set(LEARNS_FROM)
    assert quality["ipw"] > quality["off"]
    page = lake_section(found, ASSUMED)
    assert "| Learns from | NDCG@10, examination 2 |" in page
    assert "- `page` 10: items of a page" in page


def test_a_lake_that_does_not_exist_is_named(tmp_path) -> None:
    with pytest.raises(LakeMissing, match="no such lake"):
        label_weeks(str(tmp_path / "nowhere"))
