"""The impressions of a release, from a table of interactions written by hand."""

from datetime import timedelta
from pathlib import Path

import pytest

from contracts.schemas import DERIVED
from pipeline import user_impressions as module
from pipeline.run_context import RunContext
from pipeline.user_impressions import user_impressions
from ranking.feature_arrays import ids_of
from tests.pipeline.handmade_lake import END, handmade, whole

USERS, ITEMS = ids_of(["u1", "u2"]), ids_of(["a", "b", "c", "d"])


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path / "lake")


def interactions(night: RunContext, *rows: tuple[str, str, int, float, dict[str, object]]) -> None:
    none = {"clicks": 0, "saves": 0, "hides": 0, "hidden": False}
    table = [
        {"cut": END, "user_id": user, "item_id": item, "impressions": count, "last_at": END - timedelta(days=days)}
        | none
        | more
        for user, item, count, days, more in rows
    ]
    night.overwrite("interactions", whole(table, DERIVED["interactions"]))


def test_what_was_shown_lately_and_left_alone_is_counted(night: RunContext) -> None:
    interactions(
        night,
        ("u2", "a", 3, 27, {}),
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
    impressions = user_impressions(night, USERS, ITEMS)
    assert impressions is not None
    assert [impressions.of(row) for row in range(2)] == [{2: 2**31 - 1}, {1: 5, 0: 3}]


def test_the_items_shown_most_often_and_last_are_kept(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    interactions(night, ("u1", "a", 2, 3, {}), ("u1", "b", 2, 2, {}), ("u1", "c", 1, 1, {}), ("u1", "d", 3, 9, {}))
    monkeypatch.setattr(module, "MOST_ITEMS", 2)
    impressions = user_impressions(night, USERS, ITEMS)
    assert impressions is not None
    assert impressions.of(0) == {3: 3, 1: 2}
    assert impressions.of(1) == {}


def test_a_lake_without_impressions_has_none(night: RunContext) -> None:
    interactions(night, ("u1", "a", 0, 1, {"clicks": 1}), ("u2", "d", 0, 1, {"hidden": True}))
    assert user_impressions(night, USERS, ITEMS) is None
