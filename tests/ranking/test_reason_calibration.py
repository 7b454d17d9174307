import numpy as np
import pytest

from ranking.feature_arrays import Items, Rows, Users, ids_of
from ranking.reason_calibration import (
    BINS,
    NO_CLICKS,
    UNCALIBRATED,
    ReasonConfig,
    ReasonCurve,
    reason_curve,
    reason_week,
)
from tests.ranking.worlds import items as few_items

COUNT = 80
FIRST = np.arange(COUNT) % 2
"""The article, 0 or 1, that each user has read."""


def things() -> Items:
    """Two articles, and one like each of them: both cosines are 0.97 with the like one and 0.26 with the other."""
    angles = np.deg2rad([0, 90, 15, 75])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    base = few_items()
    return Items(
        ids=ids_of(["a", "b", "like_a", "like_b"]),
        creator=base.creator[:4],
        language=base.language[:4],
        category_offsets=np.zeros(5, np.int64),
        category_codes=np.zeros(0, np.int32),
        created_hours=base.created_hours[:4],
        vectors=vectors,
        text_vectors=vectors,
        features=base.features[:4],
    )


def readers() -> Users:
    return Users(
        ids=ids_of([f"u{row:03}" for row in range(COUNT)]),
        region=np.zeros(COUNT, np.int32),
        vectors=np.zeros((COUNT, 2), np.float32),
        features=np.zeros((COUNT, 1), np.float32),
        history_offsets=np.arange(COUNT + 1),
        history_items=FIRST.astype(np.int32),
        history_saves=np.zeros(COUNT, np.float32),
        history_clicks=np.ones(COUNT, np.float32),
        history_hours=np.ones(COUNT),
    )


def week(*, one_of: int, users: int = COUNT) -> ReasonCurve:
    """The users click the like article, but two of each `2 * one_of` in a row click the other."""
    rows = np.arange(users, dtype=np.int32)
    other = rows // 2 % one_of == 0
    clicked: Rows = (2 + np.where(other, 1 - FIRST[rows], FIRST[rows])).astype(np.int32)
    return reason_week(readers(), things(), rows, clicked)


def test_clicks_and_chance_by_hand() -> None:
    curve = week(one_of=6)
    # 14 of 80 users click the other article; each of 160 pairs of user and article has a chance of one half
    assert curve.clicks.nonzero()[0].tolist() == [5, 19]
    assert curve.clicks[[5, 19]].tolist() == [14, 66]
    assert curve.expected[[5, 19]].tolist() == pytest.approx([40, 40])
    assert curve.lift[19] == pytest.approx(66 / 40)
    assert curve.threshold(1.5) == 0.95
    assert curve.threshold(1.7) == 1, "no similarity shows so much"


def test_clicks_that_do_not_follow_similarity_name_nothing() -> None:
    curve = week(one_of=2)
    assert curve.lift[[5, 19]].tolist() == pytest.approx([1, 1])
    assert curve.threshold(1.5) == 1


def test_what_was_read_before_is_no_click_and_one_user_s_item_is_not_compared() -> None:
    rows = np.arange(COUNT, dtype=np.int32)
    assert reason_week(readers(), things(), rows, FIRST.astype(np.int32)).clicks.sum() == 0
    assert reason_week(readers(), things(), rows[:1], np.array([2], np.int32)).clicks.sum() == 0
    assert reason_week(readers(), things(), rows[:0], rows[:0]).clicks.sum() == 0


def test_weeks_are_counted_together() -> None:
    both = reason_curve([week(one_of=6), week(one_of=2)])
    assert both.clicks[[5, 19]].tolist() == [14 + 40, 66 + 40]
    assert both.expected[[5, 19]].tolist() == pytest.approx([80, 80])
    assert reason_curve([]).threshold(1.5) is None


def test_the_lift_never_falls_and_few_clicks_show_nothing() -> None:
    clicks, expected = np.full(BINS, 100), np.full(BINS, 100.0)
    clicks[15:] = [200, 120, 160, 3, 0]
    expected[18:] = [1.0, 0.0]
    curve = ReasonCurve(clicks, expected)
    assert (np.diff(curve.lift) >= 0).all()
    assert curve.threshold(1.5) == 0.75, "200, 120 and 160 of 300 are 1.6 times as many"
    assert curve.threshold(2.5) == 1, "three clicks at 0.9 are chance"
    assert week(one_of=6, users=40).threshold(1.5) is None
    assert NO_CLICKS.threshold(1.5) is None


def test_a_release_without_a_similarity_has_the_one_of_the_bundled_data() -> None:
    assert ReasonConfig().threshold == UNCALIBRATED
    assert ReasonConfig(min_similarity=0.4).threshold == 0.4
