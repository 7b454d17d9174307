"""The impressions of a release, from a table of interactions written by hand."""

from datetime import timedelta
from pathlib import Path

import pytest

from contracts.schemas import DERIVED
from pipeline import user_impressions as module
from pipeline.run_context import RunContext
from pipeline.user_impressions import known_impressions, user_impressions
from ranking.feature_arrays import ids_of
from tests.pipeline.handmade_lake import END, handmade, whole

USERS, ITEMS = ids_of(["u1", "u2"]), ids_of(["a", "b", "c", "d"])


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path / "lake")


def interactions(night: RunContext, *rows: tuple[str, str, int, float, dict[str, object]]) -> None:
    none = {"clicks": 0, "saves": 0, "hides": 0, "hidden": False}
    table = [
        {
            "cut": END,
            "user_id": user,
            "item_id": item,
            "impressions": count,
            "impressions_28d": count if days <= 28 else 0,
            "last_at": END,  # an unhide
            "last_impression_at": END - timedelta(days=days),
        }
        | none
        | more
        for user, item, count, days, more in rows
    ]
    night.overwrite("interactions", whole(table, DERIVED["interactions"]))


def test_what_was_shown_lately_and_left_alone_is_counted(night: RunContext) -> None:
    interactions(
        night,
        ("u2", "a", 9, 27, {"impressions_28d": 3}),
        ("u2", "b", 5, 1, {}),
        ("u2", "c", 9, 29, {}),  # too long ago
        ("u2", "d", 9, 1, {"clicks": 1}),
        ("u1", "d", 9, 1, {"saves": 1}),
        ("u1", "a", 9, 1, {"hidden": True}),
        ("u1", "b", 0, 1, {}),
        ("u1", "c", 2**31, 1, {"hides": 1}),  # unhidden since
        ("opted-out", "a", 9, 1, {}),
        ("u1", "not in the release", 9, 1, {}),
    )
    impressions = user_impressions(night, USERS, ITEMS, END)
    assert impressions is not None
    assert [impressions.of(row) for row in range(2)] == [{2: 2**31 - 1}, {1: 5, 0: 3}]


def test_a_table_of_an_earlier_version_counts_all_impressions_of_what_was_shown_lately(night: RunContext) -> None:
    interactions(night, ("u1", "a", 3, 27, {}), ("u1", "b", 5, 29, {}))
    table = night.lake.scan("interactions", night.splits.as_of).collect().with_columns(last_at="last_impression_at")
    lacking = ("impressions_28d", "last_impression_at", "last_interaction_at")
    night.overwrite("interactions", table.drop(lacking))
    assert known_impressions(night, USERS, ITEMS, END).of(0) == {0: 3}


def test_the_items_shown_most_often_and_last_are_kept(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    interactions(night, ("u1", "a", 2, 3, {}), ("u1", "b", 2, 2, {}), ("u1", "c", 1, 1, {}), ("u1", "d", 3, 9, {}))
    monkeypatch.setattr(module, "MOST_ITEMS", 2)
    impressions = user_impressions(night, USERS, ITEMS, END)
    assert impressions is not None
    assert impressions.of(0) == {3: 3, 1: 2}
    assert impressions.of(1) == {}


def test_a_lake_without_impressions_has_none(night: RunContext) -> None:
    interactions(night, ("u1", "a", 0, 1, {"clicks": 1}), ("u2", "d", 0, 1, {"hidden": True}))
    assert user_impressions(night, USERS, ITEMS, END) is None


def test_click_rates_count_users_who_were_shown_an_item_before_the_cutoff_and_may_train(night: RunContext) -> None:
    interactions(
        night,
        ("u1", "a", 1, 40, {"clicks": 1}),
        ("u2", "a", 1, 1, {}),
        ("u3", "a", 0, 1, {"clicks": 5}),  # was not shown
        ("silent", "b", 1, 1, {"clicks": 1}),
        ("u2", "b", 1, 1, {"hides": 1, "hidden": True}),
    )
    night.opt_outs.set("user", "silent", "training")
    mean = 1 / 3
    rates = known_impressions(night, USERS, ITEMS, END).click_rates
    assert rates is not None
    assert rates.tolist() == pytest.approx([(1 + 20 * mean) / 22, 20 * mean / 21, mean, mean])
    earlier = known_impressions(night, USERS, ITEMS, END - timedelta(days=7))
    assert earlier.items.tolist() == earlier.counts.tolist() == [], "the table has one cutoff"
    assert earlier.click_rates is not None
    assert earlier.click_rates.tolist() == [0, 0, 0, 0]


def test_the_last_impression_of_each_item_is_kept(night: RunContext) -> None:
    interactions(night, ("u1", "a", 2, 3, {}), ("u1", "b", 1, 2, {}))
    end = END.timestamp() / 3600
    assert known_impressions(night, USERS, ITEMS, END).last_hours(0) == {0: end - 72, 1: end - 48}
