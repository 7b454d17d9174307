import pytest

from contracts.schemas import RANKING_IMPRESSIONS
from features import ranking_impressions
from features.ranking_impressions import LOGGED

WEEK = 7 * 24
CATALOGUE = {"x": {}, "y": {}, "z": {}, "late": {"created": 1}, "hidden": {}}
PAST = [
    ("ana", "click", "x", -5),
    ("ana", "hide", "hidden", -4),
    ("ana", "impression", "y", -3, {"position": 0}),
    ("eve", "impression", "x", -1),
    ("tim", "click", "x", -1),
]
AFTER = [
    ("ana", "impression", "x", 2, {"position": 0}),  # clicked before
    ("ana", "impression", "hidden", 2),  # hidden before
    ("ana", "impression", "late", 2),  # did not exist at the cutoff
    ("ana", "impression", "y", 1, {"position": 7, "propensity": 0.25}),
    ("ana", "impression", "y", 2, {"position": 3, "propensity": 0.5}),
    ("ana", "click", "y", 3),
    ("ana", "click", "z", 3),  # a click without an impression
    ("ana", "impression", "z", WEEK),  # after the window
    ("eve", "impression", "y", 2, {"position": -1, "propensity": 7.0}),
    ("new", "impression", "z", 3),  # a new user, unknown at the cutoff
]


SHOWN = [("ana", "y", 2, 3, 0.5), ("eve", "y", 1, None, 1.0)]


@pytest.fixture(scope="module")
def impressions(events, items, users, rows, cutoff):
    def run(*given, exposures=None, opted_out=()):
        found = ranking_impressions(
            events(*given),
            items(**CATALOGUE),
            (cutoff,),
            label_days=7,
            opted_out_of_training=users(*opted_out),
            exposures=exposures,
        )
        return [tuple(row[name] for name in RANKING_IMPRESSIONS.names[1:]) for row in rows(found)]

    return run


@pytest.fixture(scope="module")
def log(table, hours):
    """Pages from (name, user, items from the top, hours); every item has the propensity one tenth."""

    def build(*pages):
        rows = [
            {
                "request_id": page,
                "user": user,
                "item_id": item,
                "rank": rank,
                "served_at": hours(at),
                "propensity": 0.1,
            }
            for page, user, shown, at in pages
            for rank, item in enumerate(shown, start=1)
        ]
        return table(LOGGED, rows)

    return build


def test_new_items_that_were_shown_in_the_week_with_the_best_place_and_the_highest_propensity(impressions):
    assert impressions(*PAST, *AFTER) == SHOWN


def test_impressions_before_the_cutoff_and_after_the_week_change_nothing(impressions):
    others = [("ana", "impression", "y", at, {"position": 0, "propensity": 1.0}) for at in (-1 / 3600, WEEK)]
    assert impressions(*PAST, *AFTER, *others) == SHOWN


def test_a_lake_with_clicks_alone_has_none_and_one_user_with_impressions_alone_has_some(impressions):
    assert impressions(*(row for row in (*PAST, *AFTER) if row[1] == "click")) == []
    assert impressions(("ana", "impression", "x", -1), ("ana", "impression", "y", 1)) == [("ana", "y", 1, None, 1.0)]


def test_who_opted_out_of_training_is_absent(impressions, log):
    pages = log(("page", "pseudonym", ["y", "z"], 1))
    clicked = ("ana", "click", "z", 2, {"request_id": "page"})
    assert impressions(*PAST, *AFTER, clicked, exposures=pages, opted_out=("ana",)) == SHOWN[1:]


def test_a_logged_item_above_one_with_an_event_was_looked_at_and_the_log_adds_places(impressions, log):
    pages = log(
        ("page", "tim's", ["y", "z", "hidden"], 1),
        ("posted", "eve's", ["hidden", "y"], 1),
        ("shared", "tim's", ["y"], 1),
        ("shared", "eve's", ["y"], 1),
    )
    events = [
        ("tim", "click", "z", 2, {"request_id": "page"}),
        ("eve", "impression", "y", 2, {"request_id": "posted"}),
        ("eve", "click", "y", 2, {"request_id": "shared"}),  # two users have a page of that name
    ]
    chance = pytest.approx(0.1)
    assert impressions(*PAST, *events, exposures=pages) == [
        ("eve", "hidden", 1, 0, chance),
        ("eve", "y", 1, 1, chance),
        ("tim", "y", 1, 0, chance),
        ("tim", "z", 1, 1, chance),
    ]


def test_an_event_after_the_label_window_of_a_page_decides_nothing(impressions, log):
    """Else a click of the held-out week would train the re-ranker that is evaluated on that week."""
    pages = log(("last hour", "tim's", ["y", "z"], WEEK - 1), ("in time", "ana's", ["y", "z"], WEEK - 2))
    events = [
        ("tim", "click", "z", WEEK, {"request_id": "last hour"}),
        ("ana", "click", "z", WEEK - 1, {"request_id": "in time"}),
        ("ana", "impression", "y", WEEK, {"request_id": "in time"}),  # in the next window, so this one lacks it
    ]
    chance = pytest.approx(0.1)
    found = impressions(*PAST, *events, exposures=pages)
    assert found == [("ana", "y", 1, 0, chance), ("ana", "z", 1, 1, chance)]
