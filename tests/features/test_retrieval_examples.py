from datetime import timedelta
from functools import cache

import pytest

from contracts.schemas import RETRIEVAL_EXAMPLES
from features import retrieval_examples

PAST = [
    ("ana", "save", "x", -9),
    ("ana", "click", "x", -8),  # folded: the save is stronger, its instant the first
    ("ana", "impression", "y", -7.5),
    ("ana", "click", "y", -7),
    ("ana", "hide", "z", -6),
    ("ana", "click", "x", -5),  # not consecutive: an element of its own
    ("bob", "click", "y", -3),
    ("bob", "save", "y", -1),
    ("eve", "impression", "y", -1),
]


@pytest.fixture(scope="module")
def examples(events, users, rows, cutoff):
    @cache
    def run(*given, cutoffs=(cutoff,), opted_out=()):
        return rows(retrieval_examples(events(*given), cutoffs, opted_out_of_training=users(*opted_out)))

    return run


def test_oldest_first_and_repeats_folded(examples, cutoff, hours):
    ana, bob = examples(*PAST, opted_out=("bob", "bob"))
    assert ana == {
        "cut": cutoff,
        "user_id": "ana",
        "item_ids": ["x", "y", "x"],
        "actions": ["save", "click", "click"],
        "timestamps": [hours(-9), hours(-7), hours(-5)],
        "trainable": True,
    }
    assert list(ana) == RETRIEVAL_EXAMPLES.names
    assert (bob["item_ids"], bob["actions"], bob["trainable"]) == (["y"], ["save"], False)


def test_each_cutoff_has_its_own_beginning(examples, cutoff):
    earlier = cutoff - timedelta(hours=2)
    bob_then, bob_now = (row for row in examples(*PAST, cutoffs=(earlier, cutoff)) if row["user_id"] == "bob")
    # the run began before the earlier cutoff and was saved after it
    assert (bob_then["actions"], bob_now["actions"]) == (["click"], ["save"])
    assert bob_then["timestamps"] == bob_now["timestamps"]


def test_the_future_changes_nothing(examples):
    future = [("ana", "save", "x", 1 / 3600), ("ana", "click", "z", 0), ("eve", "click", "y", 1 / 3600)]
    assert examples(*PAST, *future) == examples(*PAST)


def test_without_events_there_are_no_examples(examples):
    assert examples() == []
