import pytest

from contracts.schemas import USER_FEATURES
from features import user_features

DAY = 24
CATALOGUE = {
    "x": {"creator_id": "cleo", "categories": ["art", "food"], "language": "pt"},
    "y": {"creator_id": "cleo", "categories": ["art"], "language": "en"},
    "z": {"creator_id": "dan", "categories": [], "language": "en"},
    "bare": {},
}
PAST = [
    ("ana", "click", "x", -30 * DAY, "s1"),
    ("ana", "save", "x", -30 * DAY + 1, "s1"),
    ("ana", "click", "y", -7 * DAY, "s2"),
    ("ana", "hide", "z", -7 * DAY + 0.5, "s2"),
    ("ana", "impression", "z", -6.5, "s3"),
    ("ana", "click", "z", -6, "s3"),
    ("bob", "click", "bare", -2 * DAY, "s1"),
    ("eve", "impression", "x", -3, "s9"),
]


@pytest.fixture(scope="module")
def by_user(sessions, items, rows, cutoff):
    def run(*given):
        return {row["user_id"]: row for row in rows(user_features(sessions(*given), items(**CATALOGUE), [cutoff]))}

    return run


@pytest.fixture(scope="module")
def features(by_user):
    return by_user(*PAST)


def test_activity_taste_and_habits(features, cutoff):
    assert features["ana"] == {
        "cut": cutoff,
        "user_id": "ana",
        "clicks_1d": 1,
        "clicks_7d": 2,  # seven days ago to the second is within
        "clicks_28d": 2,
        "saves_1d": 0,
        "saves_7d": 0,
        "saves_28d": 0,
        "clicks": 3,
        "saves": 1,
        "save_rate": 1 / 4,
        "creators": 2,
        "categories": 2,
        "languages": ["en", "pt"],  # two each: alphabetical
        "recency_hours": 6.0,
        "sessions_28d": 2,
        "session_minutes": (60 + 30 + 30) / 3,
        "session_items": (1 + 1 + 1) / 3,
    }
    assert list(features["ana"]) == USER_FEATURES.names


def test_an_item_without_attributes_adds_no_taste(features):
    bob = features["bob"]
    assert (bob["clicks"], bob["creators"], bob["categories"], bob["languages"]) == (1, 0, 0, [])
    assert (bob["recency_hours"], bob["session_minutes"], bob["session_items"]) == (48, 0, 1)


def test_being_shown_an_item_is_no_taste(features):
    eve = features["eve"]
    assert (eve["clicks"], eve["save_rate"], eve["creators"], eve["languages"]) == (0, 0, 0, [])
    assert eve["recency_hours"] is None
    assert (eve["sessions_28d"], eve["session_items"]) == (1, 0)


def test_most_read_language_first(by_user):
    read = by_user(*(("ana", "click", item, -hours, "s") for hours, item in enumerate("xxyx", 1)))["ana"]
    assert read["languages"] == ["pt", "en"]
    assert (read["creators"], read["categories"], read["session_items"]) == (1, 2, 2)


def test_the_future_changes_nothing(by_user, features):
    # a second after the cutoff: a new creator, a longer session, an item shown before, and a new user
    future = [
        ("ana", "save", "bare", 1 / 3600, "s3"),
        ("ana", "click", "x", 1 / 3600, "s3"),
        ("eve", "click", "x", 1 / 3600, "s9"),
        ("new", "click", "x", 0, "s0"),
    ]
    assert by_user(*PAST, *future) == features
