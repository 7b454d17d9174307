"""Draws of uncertain items: exact propensities, the same draws for the same seed."""

import numpy as np
import pytest

from serving.exploration import ExplorationConfig, drawn, places_of, seed_of

CONFIG = ExplorationConfig(slots=2, temperature=0.5, pool=4)


def test_each_slot_draws_from_its_own_items_by_softmax() -> None:
    relevance = np.array([0.0, 1.0, 0.5, 1.0, -9.0], np.float32)  # the last one is outside the pool of four
    # best first: 1, 3, 2, 0; the first slot has 1 and 2, the second 3 and 0
    chances = {1: 1 / (1 + np.exp(-1)), 2: 1 / (1 + np.exp(1)), 3: 1 / (1 + np.exp(-2)), 0: 1 / (1 + np.exp(2))}
    counts = dict.fromkeys(chances, 0)
    for seed in range(2000):
        explored = drawn(relevance, 2, CONFIG, seed)
        first, second = explored.chosen.tolist()
        assert (first in {1, 2}, second in {3, 0}) == (True, True)
        assert explored.propensities.tolist() == pytest.approx([chances[first], chances[second]])
        counts[first] += 1
        counts[second] += 1
    assert [counts[item] / 2000 for item in chances] == pytest.approx(list(chances.values()), abs=0.03)


def test_the_same_seed_draws_the_same_items() -> None:
    relevance = np.linspace(0, 1, 50, dtype=np.float32)
    seed = seed_of("user-1", "2017-03-01-abc", 0)
    assert seed == seed_of("user-1", "2017-03-01-abc", 0) != seed_of("user-1", "2017-03-01-ab", "c0")
    assert drawn(relevance, 2, CONFIG, seed).chosen.tolist() == drawn(relevance, 2, CONFIG, seed).chosen.tolist()


@pytest.mark.parametrize(("items", "expected"), [(0, 0), (1, 1), (3, 2)])
def test_there_are_no_more_draws_than_items(items: int, expected: int) -> None:
    explored = drawn(np.zeros(items, np.float32), 2, CONFIG, 1)
    assert len(set(explored.chosen.tolist())) == expected
    assert len(explored.propensities) == expected


def test_very_different_relevance_at_a_low_temperature_is_still_a_probability() -> None:
    cold = ExplorationConfig(slots=1, temperature=1e-6)
    explored = drawn(np.array([0, 1], np.float32), 1, cold, 1)
    assert (explored.chosen.tolist(), explored.propensities.tolist()) == ([1], [1.0])


def test_places_are_spread_and_at_most_half_of_a_page() -> None:
    assert places_of(2, 10) == [3, 6]
    assert places_of(0, 10) == []
    assert [ExplorationConfig(slots=3).slots_of(length) for length in (0, 1, 2, 5, 50)] == [0, 0, 1, 2, 3]
    assert ExplorationConfig(slots=3).unless(off=True).slots_of(50) == 0
