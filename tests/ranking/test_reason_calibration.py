from dataclasses import replace

import numpy as np
import pytest

from ranking.feature_arrays import Items, Users, ids_of
from ranking.reason_calibration import (
    BINS,
    UNCALIBRATED,
    WEEK_HOURS,
    ReasonConfig,
    ReasonCurve,
    calibrated,
    reason_curve,
)
from tests.ranking.worlds import items as few_items

NOW = 10 * WEEK_HOURS
EACH = 40


def world(*, follow: bool) -> tuple[Users, Items]:
    """Eighty users have read one of two articles, in the last week half of them read the like article and half of them
    the unlike one; where they `follow` their taste, five of six read the like one."""
    angles = np.deg2rad([0, 90, 15, 75])  # like articles have a cosine of 0.97, unlike ones 0.26
    text = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    base = few_items()
    things = Items(
        **{
            **{
                name: getattr(base, name)[:4]
                for name in ("creator", "language", "created_hours", "features", "vectors")
            },
            "ids": ids_of(["a", "b", "like_a", "like_b"]),
            "text_vectors": text,
            "category_offsets": np.zeros(5, np.int64),
            "category_codes": np.zeros(0, np.int32),
        }
    )
    first = np.arange(2 * EACH) % 2
    unlike = np.arange(2 * EACH) // 2 % (6 if follow else 2) == 0
    second = 2 + np.where(unlike, 1 - first, first)
    count = 2 * EACH
    readers = Users(
        ids=ids_of([f"u{row:03}" for row in range(count)]),
        region=np.zeros(count, np.int32),
        vectors=np.zeros((count, 2), np.float32),
        features=np.zeros((count, 1), np.float32),
        history_offsets=2 * np.arange(count + 1),
        history_items=np.stack([first, second], axis=1).ravel().astype(np.int32),
        history_saves=np.zeros(2 * count, np.float32),
        history_clicks=np.ones(2 * count, np.float32),
        history_hours=np.tile([NOW - 2 * WEEK_HOURS, NOW - 1.0], count),
    )
    return readers, things


def curve_of(readers: Users, things: Items) -> ReasonCurve:
    return reason_curve(readers, things, np.arange(len(readers.ids), dtype=np.int32), NOW)


def test_clicks_and_chance_by_hand() -> None:
    readers, things = world(follow=True)
    curve = curve_of(readers, things)
    # 14 of 80 users read the unlike article; each of 160 pairs of user and article has a chance of one half
    assert curve.clicks.nonzero()[0].tolist() == [5, 19]
    assert curve.clicks[[5, 19]].tolist() == [14, 66]
    assert curve.expected[[5, 19]].tolist() == pytest.approx([40, 40])
    assert curve.lift[19] == pytest.approx(66 / 40)
    assert curve.threshold(1.5) == 0.95
    assert curve.threshold(1.7) == 1, "no similarity shows so much"


def test_clicks_that_do_not_follow_similarity_name_nothing() -> None:
    curve = curve_of(*world(follow=False))
    assert curve.lift[[5, 19]].tolist() == pytest.approx([1, 1])
    assert curve.threshold(1.5) == 1


def test_what_is_clicked_later_or_by_one_user_alone_changes_nothing() -> None:
    readers, things = world(follow=True)
    later = replace(readers, history_hours=readers.history_hours + np.tile([0, 2.0], 2 * EACH))
    assert curve_of(later, things).clicks.sum() == 0
    one = reason_curve(readers, things, np.array([0], np.int32), NOW)
    assert one.clicks.sum() == 0


def test_the_lift_never_falls_and_few_clicks_show_nothing() -> None:
    clicks, expected = np.full(BINS, 100), np.full(BINS, 100.0)
    clicks[15:] = [200, 120, 160, 3, 0]
    expected[18:] = [1.0, 0.0]
    curve = ReasonCurve(clicks, expected)
    assert (np.diff(curve.lift) >= 0).all()
    assert curve.threshold(1.5) == 0.75, "200, 120 and 160 of 300 are 1.6 times as many"
    assert curve.threshold(2.5) == 1, "three clicks at 0.9 are chance"
    assert ReasonCurve(clicks // 50, expected / 50).threshold(1.5) is None


def test_a_setting_wins_and_little_data_takes_the_default() -> None:
    readers, things = world(follow=True)
    everyone = np.arange(2 * EACH, dtype=np.int32)
    assert calibrated(ReasonConfig(min_similarity=0.4), readers, things, everyone, NOW).threshold == 0.4
    assert calibrated(ReasonConfig(), readers, things, everyone[:40], NOW).threshold == UNCALIBRATED
    assert calibrated(ReasonConfig(), readers, things, everyone, NOW).threshold == 0.95
    assert calibrated(ReasonConfig(min_lift=6), readers, things, everyone, NOW).min_similarity == 1
