import pytest

from contracts.schemas import ITEM_FEATURES
from features import item_features

DAY = 24
CATALOGUE = {
    "x": {"creator_id": "cleo", "created": -40 * DAY},
    "y": {"creator_id": "cleo", "created": -12},
    "gone": {"creator_id": "cleo", "created": -90 * DAY, "removed": -5},
    "leaving": {"created": -10 * DAY, "removed": 5},
    "ageless": {},
    "coming": {"creator_id": "cleo", "created": 0},
}
PAST = [
    ("ana", "click", "x", -20 * DAY),
    ("ana", "save", "x", -3),
    ("bob", "click", "x", -2 * DAY),
    ("ana", "impression", "y", -2),
    ("ana", "hide", "y", -2),
    ("cy", "click", "gone", -50 * DAY),
    ("bob", "save", "gone", -50 * DAY),
    ("bob", "click", "coming", -1),  # announced before it exists
]
AVERAGE = 2 / 6
"""Saves among the clicks and saves of PAST."""


@pytest.fixture(scope="module")
def by_item(events, items, users, rows, cutoff):
    def run(*given, opted_out=()):
        frame = item_features(events(*given), items(**CATALOGUE), [cutoff], opted_out_of_training=users(*opted_out))
        return {row["item_id"]: row for row in rows(frame)}

    return run


@pytest.fixture(scope="module")
def features(by_item):
    return by_item(*PAST)


def test_popularity_rates_age_creator_and_trend(features, cutoff):
    assert list(features["x"]) == ITEM_FEATURES.names
    assert features["x"]["cut"] == cutoff
    assert {name: value for name, value in features["x"].items() if name not in ("cut", "item_id")} == pytest.approx(
        {
            "clicks_1d": 0,
            "clicks_7d": 1,
            "clicks_28d": 2,
            "saves_1d": 1,
            "saves_7d": 1,
            "saves_28d": 1,
            "users_1d": 1,
            "users_7d": 2,
            "users_28d": 2,
            "users_6h": 1,
            "users_12h": 1,
            "users_48h": 2,
            "users_96h": 2,
            "users": 2,
            "save_rate_1d": (1 + 10 * AVERAGE) / (1 + 10),
            "save_rate_7d": (1 + 10 * AVERAGE) / (2 + 10),
            "save_rate_28d": (1 + 10 * AVERAGE) / (3 + 10),
            "age_hours": 40 * DAY,
            "creator_items": 2,  # y and gone; x itself and coming are not
            "creator_save_rate": (1 + 10 * AVERAGE) / (2 + 10),  # of gone
            "creator_users_per_item": 2 / 2,
            "trend": (1 + 1) / (2 / 7 + 1),
        }
    )


def test_users_are_counted_in_windows_that_hold_their_first_instant(by_item):
    hours = (6, 12, 13, 24, 48, 49, 96, 97)
    counted = by_item(*[(f"reader of {hour}", "click", "x", -hour) for hour in hours])["x"]
    windows = {name: counted[f"users_{name}"] for name in ("6h", "12h", "1d", "48h", "96h", "7d")}
    assert windows == {"6h": 1, "12h": 2, "1d": 4, "48h": 5, "96h": 7, "7d": 8}


def test_items_that_exist_at_the_cutoff(features):
    assert sorted(features) == ["ageless", "leaving", "x", "y"]


def test_an_item_without_interactions_is_average(features):
    leaving = features["leaving"]
    assert (leaving["users"], leaving["trend"], leaving["creator_items"]) == (0, 1, 0)
    assert leaving["save_rate_1d"] == leaving["creator_save_rate"] == pytest.approx(AVERAGE)
    assert leaving["creator_users_per_item"] == 0


def test_unknown_age_is_null_and_a_hide_is_no_popularity(features):
    assert features["ageless"]["age_hours"] is None
    assert (features["y"]["users"], features["y"]["age_hours"], features["y"]["creator_items"]) == (0, 12, 2)


def test_the_future_changes_nothing(by_item, features):
    future = [("bob", "save", "x", 1 / 3600), ("new", "click", "y", 1 / 3600), ("ana", "click", "gone", 0)]
    assert by_item(*PAST, *future) == features


def test_users_opted_out_of_training_add_nothing(by_item, features):
    secret = [("olga", "save", item, -1) for item in ("x", "y", "gone", "ageless")]
    assert by_item(*PAST, *secret, opted_out=["olga"]) == features


def test_no_interactions_at_all(by_item):
    assert {row["save_rate_28d"] for row in by_item().values()} == {0}
