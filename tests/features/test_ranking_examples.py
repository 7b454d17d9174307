from datetime import timedelta
from functools import cache

import pytest

from contracts.schemas import RANKING_EXAMPLES
from features import ranking_examples

WEEK = 7 * 24
CATALOGUE = {
    "x": {"created": -50},
    "y": {"created": -50},
    "z": {},
    "late": {"created": 1},
    "hidden": {"created": -50},
    "shown": {"created": -50},
    "unhidden": {"created": -50},
}
PAST = [
    ("ana", "click", "x", -5),
    ("ana", "hide", "hidden", -4),
    ("ana", "impression", "shown", -3),
    ("ana", "hide", "unhidden", -3),
    ("ana", "unhide", "unhidden", -2),
    ("eve", "impression", "x", -1),
]
AFTER = [
    ("ana", "save", "x", 2),  # clicked before
    ("ana", "save", "hidden", 2),  # hidden before
    ("ana", "unhide", "hidden", 1),  # too late: at the cutoff it was hidden
    ("ana", "click", "unhidden", 2),  # may be shown again: still new
    ("ana", "click", "shown", 2),  # was only shown: still new
    ("ana", "click", "y", 0),
    ("ana", "save", "y", 3),  # the stronger one counts
    ("ana", "click", "late", 3),  # did not exist at the cutoff
    ("ana", "click", "z", WEEK),  # after the window
    ("ana", "impression", "z", 3),
    ("eve", "click", "z", WEEK - 1 / 3600),
    ("new", "click", "z", 3),  # a new user, unknown at the cutoff
]


@pytest.fixture(scope="module")
def labels(events, items, users, rows, cutoff):
    @cache
    def run(*given, cutoffs=(cutoff,), opted_out=()):
        return rows(
            ranking_examples(
                events(*given), items(**CATALOGUE), cutoffs, label_days=7, opted_out_of_training=users(*opted_out)
            )
        )

    return run


def brief(rows):
    return [(row["user_id"], row["item_id"], row["label"]) for row in rows]


def test_new_items_of_known_users(labels, cutoff):
    labelled = labels(*PAST, *AFTER)
    assert brief(labelled) == [("ana", "shown", 1), ("ana", "unhidden", 1), ("ana", "y", 2), ("eve", "z", 1)]
    assert list(labelled[0]) == RANKING_EXAMPLES.names
    assert {row["cut"] for row in labelled} == {cutoff}


def test_every_cutoff_has_its_own_window(labels, cutoff):
    next_week = cutoff + timedelta(days=7)
    labelled = labels(*PAST, *AFTER, cutoffs=(cutoff, next_week))
    assert brief(row for row in labelled if row["cut"] == cutoff) == brief(labels(*PAST, *AFTER))
    assert brief(row for row in labelled if row["cut"] == next_week) == [("ana", "z", 1)]


def test_what_comes_after_the_window_changes_nothing(labels):
    later = [("ana", "save", "shown", WEEK), ("eve", "save", "z", WEEK)]
    assert labels(*PAST, *AFTER, *later) == labels(*PAST, *AFTER)


def test_who_opted_out_of_training_is_absent(labels):
    assert brief(labels(*PAST, *AFTER, opted_out=("ana",))) == [("eve", "z", 1)]
