"""Features of impressions, by hand."""

from dataclasses import replace

import numpy as np

from ranking.fatigue import DEFAULT_FATIGUE, UserImpressions, UserShown, shown_items
from ranking.feature_arrays import Candidates
from ranking.feature_names import EVERY_FEATURE_NAME, FEATURE_NAMES, FEATURE_SETS, IMPRESSION_NAMES
from ranking.impression_features import impression_features
from tests.ranking.worlds import pairs

USERS = np.array([0, 2], np.int32)
KNOWN = UserImpressions(
    np.array([0, 2, 2, 3]),
    np.array([4, 1, 0], np.int32),
    np.array([7, 1, 2], np.int32),
    np.array([90.0, 80.0, 99.0]),
    np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
)
"""Three users: the first was shown items 4 and 1, the last item 0."""
CANDIDATES: Candidates = pairs((0, 1), (0, 2), (0, 4), (2, 0), (2, 4))


def rows(features: np.ndarray) -> list[list[float]]:
    return np.nan_to_num(features.astype(float), nan=-1).round(2).tolist()


def test_times_hours_and_rates() -> None:
    assert rows(impression_features(KNOWN, CANDIDATES, USERS, 100.0)) == [
        [1, 20, 0.2], [0, -1, 0.3], [7, 10, 0.5], [2, 1, 0.1], [0, -1, 0.5],
    ]  # fmt: skip
    assert len(IMPRESSION_NAMES) == 3


def test_the_server_computes_the_same_from_what_it_has_merged() -> None:
    shown = shown_items([of_user(KNOWN, 0), of_user(KNOWN, 2)], DEFAULT_FATIGUE)
    served = impression_features(KNOWN, CANDIDATES, USERS, 100.0, shown)
    np.testing.assert_array_equal(served, impression_features(KNOWN, CANDIDATES, USERS, 100.0))


def of_user(known: UserImpressions, row: int) -> UserShown:
    """As the server has it."""
    counts, hours = known.of(row), known.last_hours(row)
    return UserShown(
        np.array(list(counts), np.int32),
        np.array(list(counts.values())),
        np.zeros(len(counts), bool),
        np.array([hours[item] for item in counts]),
    )


def test_impressions_since_the_release_are_now() -> None:
    late = replace(KNOWN, hours=np.array([101.0, 80.0, 99.0]))
    assert impression_features(late, CANDIDATES, USERS, 100.0)[2, 1] == 0


def test_a_release_of_before_has_counts_alone() -> None:
    old = UserImpressions(KNOWN.offsets, KNOWN.items, KNOWN.counts)
    assert rows(impression_features(old, CANDIDATES, USERS, 100.0))[2] == [7, -1, -1]
    assert rows(impression_features(old.select(np.zeros(0, np.int32)), pairs(), USERS[:0], 100.0)) == []


def test_each_set_of_features_has_another_size() -> None:
    assert len({len(names) for names in FEATURE_SETS}) == len(FEATURE_SETS) == 4
    assert set(EVERY_FEATURE_NAME) == set().union(*FEATURE_SETS)
    assert FEATURE_SETS[0] == FEATURE_NAMES
