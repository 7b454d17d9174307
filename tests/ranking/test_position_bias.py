"""How often places are looked at, and the weights that follow from it."""

import numpy as np
import pytest

from ranking.position_bias import LAST_PLACE, NOT_SHOWN, UNKNOWN, ShownPairs, examination

PLACES = 5


def shown(*positions: int, propensities: tuple[float, ...] = ()) -> ShownPairs:
    return ShownPairs(np.array(positions, np.int32), np.array(propensities or [1.0] * len(positions), np.float32))


def test_examination_is_found_although_better_items_are_on_top() -> None:
    """A place is looked at half as often as the one above; the best items of a page are on top."""
    random = np.random.default_rng(7)
    appeal = -np.sort(-random.uniform(0.05, 0.9, (20_000, PLACES)), axis=1)
    places = np.tile(np.arange(PLACES, dtype=np.int32), len(appeal))
    clicked = random.random(appeal.shape) < appeal * 0.5 ** np.arange(PLACES)
    features = appeal.reshape(-1, 1).astype(np.float32)
    found = examination(features, clicked.ravel(), places)
    np.testing.assert_allclose(found, 0.5 ** np.arange(PLACES), atol=0.05)
    raw = clicked.mean(axis=0) / clicked[:, 0].mean()
    assert raw[2] < found[2] - 0.05, "without features, the lower places look worse than they are"


def test_few_clicks_show_no_difference_between_places() -> None:
    places = np.array([0, 1, UNKNOWN, NOT_SHOWN], np.int32)
    assert examination(np.zeros((4, 1), np.float32), np.array([True, False, False, True]), places).tolist() == [1]


def test_a_click_where_few_look_counts_more_and_the_total_stays() -> None:
    pairs = shown(0, 1, 1, NOT_SHOWN, UNKNOWN)
    clicked = np.array([True, True, False, True, False])
    weights = pairs.inverse_propensities(clicked, np.array([1, 0.25]), limit=10)
    assert weights.tolist() == pytest.approx([0.4, 1.6, 1, 1, 1])


def test_weights_end_at_the_limit_and_chance_counts_whether_clicked_or_not() -> None:
    pairs = shown(0, 0, 0, propensities=(1, 0.5, 0.01))
    weights = pairs.inverse_propensities(np.zeros(3, bool), np.ones(1), limit=3)
    assert weights.tolist() == pytest.approx([0.5, 1, 1.5])


def test_places_far_down_count_as_one() -> None:
    assert shown(3, 2**31 - 1, UNKNOWN).places.tolist() == [3, LAST_PLACE, UNKNOWN]
