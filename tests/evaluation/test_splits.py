from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import catalogue_from, events_from, hold_out
from evaluation.splits import instant, leave_one_out, random_out
from tests.evaluation.builders import CUTOFF, catalogue, events


def test_an_instant_needs_a_time_zone():
    assert instant(datetime(2017, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == np.datetime64("2017-01-01T00:00")
    with pytest.raises(BadEvaluationInput, match="2017-01-01T00:00:00 has no time zone; give UTC"):
        instant(datetime(2017, 1, 1))  # noqa: DTZ001 - the very thing that is refused


def test_rankable_is_what_exists_at_the_cutoff():
    # older, at the cutoff, unknown age, removed before, removed at the cutoff, removed after it
    items = catalogue([-1, 0, None, -2, -2, -2], removed_days={3: -1, 4: 0, 5: 1})
    assert items.rankable(CUTOFF).tolist() == [True, False, True, False, False, True]


LOG = [
    (0, 0, -5, 1),  # user 0 is known by this
    (0, 0, 1, 2),  # in the history: no label
    (0, 1, 0, 1),  # exactly at the cutoff: a label
    (0, 1, 3, 2),  # saved later: the label's gain is 2
    (0, 2, 7, 1),  # after the week
    (0, 3, 2, 1),  # created after the cutoff: not rankable
    (0, 4, 2, 0),  # hidden: an interaction, no label
    (1, 1, 1, 1),  # user 1 is unknown before the cutoff
    (2, 4, -1, 0),  # user 2 is known by a hide,
    (2, 4, 1, 1),  # which is an interaction
    (3, 1, -1, 1),  # user 3 is known and likes nothing new
]


def test_hold_out_labels_known_users_and_unseen_rankable_items():
    holdout = hold_out(events(LOG, users=4, items=5), catalogue([-9, -9, -9, 1, -9]), CUTOFF)
    assert holdout.user_rows.tolist() == [0]
    assert holdout.labels.item_rows.tolist() == [1]
    assert holdout.labels.gains.tolist() == [2]
    assert holdout.rankable.tolist() == [True, True, True, False, True]
    assert (holdout.cutoff, holdout.end) == (CUTOFF, CUTOFF + timedelta(days=7))


def test_history_ends_strictly_before_the_cutoff():
    history = hold_out(events(LOG, users=4, items=5), catalogue([-9] * 5), CUTOFF).history
    assert list(zip(history.user_rows.tolist(), history.item_rows.tolist(), strict=True)) == [(0, 0), (2, 4), (3, 1)]


def test_a_longer_holdout_sees_more_and_an_empty_log_no_user():
    longer = hold_out(events(LOG, users=4, items=5), catalogue([-9] * 5), CUTOFF, days=8)
    assert longer.labels.item_rows.tolist() == [1, 2, 3]
    empty = hold_out(events([], users=4, items=5), catalogue([-9] * 5), CUTOFF)
    assert empty.user_rows.shape == (0,)
    assert empty.labels.counts.shape == (0,)


def test_tables_become_rows_and_only_taste_is_kept():
    frame = pl.DataFrame(
        {
            "user_id": ["ann", "bob", "ann", "ann", "zoe", "ann", "bob", "bob"],
            "item_id": ["x", "y", "y", "x", "x", "gone", "x", "x"],
            "action": ["save", "click", "hide", "impression", "click", "click", "hide", "unhide"],
            "timestamp": [datetime(2017, 1, day, tzinfo=UTC) for day in (3, 2, 1, 1, 1, 1, 1, 2)],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    log = events_from(frame, np.array(["ann", "bob"]), np.array(["x", "y"]))
    # oldest first: ann hides y, bob hides x, bob clicks y, ann saves x; the ids lack zoe and the lost item
    assert log.user_rows.tolist() == [0, 1, 1, 0]
    assert log.item_rows.tolist() == [1, 0, 1, 0]
    assert log.gains.tolist() == [0, 0, 1, 2]
    assert log.timestamps[0] == np.datetime64("2017-01-01T00:00")
    assert log.undone_at[1] == np.datetime64("2017-01-02T00:00")
    assert np.isnat(log.undone_at).tolist() == [True, False, True, True]
    assert (log.user_count, log.item_count) == (2, 2)


def labels_after(*rows: tuple[str, str, float]) -> list[int]:
    """The labels of ann, who also clicked z; a row has an item, an action, and days from the cutoff."""
    actions = [("z", "click", -3), *rows]
    frame = pl.DataFrame(
        [("ann", item, action, CUTOFF + timedelta(days=days)) for item, action, days in actions],
        schema={"user_id": pl.String, "item_id": pl.String, "action": pl.String, "timestamp": pl.Datetime("us", "UTC")},
        orient="row",
    )
    log = events_from(frame, np.array(["ann"]), np.array(["x", "z"]))
    return hold_out(log, catalogue([-9, -9]), CUTOFF).labels.item_rows.tolist()


def test_an_unhide_counts_from_its_own_instant():
    assert labels_after(("x", "hide", -1), ("x", "unhide", 1), ("x", "save", 2)) == [], "hidden at the cutoff"
    assert labels_after(("x", "hide", -2), ("x", "unhide", -1), ("x", "save", 2)) == [0]
    assert labels_after(("x", "hide", -1), ("x", "unhide", -1), ("x", "save", 2)) == [0], "undone at once"
    again = ("x", "hide", -3), ("x", "unhide", -2), ("x", "hide", -1), ("x", "unhide", 1), ("x", "save", 2)
    assert labels_after(*again) == [], "hidden again"


def test_the_catalogue_numbers_creators_and_keeps_unknown_times():
    times = pl.Series([datetime(2017, 1, 1, tzinfo=UTC), None, None], dtype=pl.Datetime("us", "UTC"))
    never = pl.Series([None] * 3, dtype=pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"creator_id": ["b", None, "a"], "created_at": times, "removed_at": never})
    items = catalogue_from(frame)
    assert items.creators.tolist() == [1, -1, 0]
    assert np.isnat(items.created_at).tolist() == [False, True, True]
    assert items.rankable(datetime(2017, 1, 1, tzinfo=UTC)).tolist() == [False, True, True]


def pairs(*rows: str) -> pl.DataFrame:
    """`"ann a"` is a click of ann's on a; rows are in the order of time."""
    return pl.DataFrame([row.split() for row in rows], schema=["user_id", "item_id"], orient="row")


def rows_as_text(frame: pl.DataFrame) -> list[str]:
    return [" ".join(row) for row in frame.rows()]


ORDERED = pairs(
    "ann a",
    "bob a",  # bob has three rows: one is left to train on
    "ann b",
    "cid a",  # cid has two: nothing would be left
    "ann c",
    "bob b",
    "cid b",
    "bob c",
    "ann d",
)


def test_the_last_row_of_each_user_is_the_test_and_the_second_last_the_validation() -> None:
    test, validation = leave_one_out(ORDERED)
    assert rows_as_text(test.held_out) == ["bob c", "ann d"]
    assert rows_as_text(validation.held_out) == ["ann c", "bob b"]
    assert rows_as_text(validation.train) == ["ann a", "bob a", "ann b", "cid a", "cid b"]


def test_the_train_rows_of_the_test_include_the_validation_rows_in_their_order() -> None:
    test, _ = leave_one_out(ORDERED)
    assert rows_as_text(test.train) == ["ann a", "bob a", "ann b", "cid a", "ann c", "bob b", "cid b"]


def test_a_random_tenth_is_a_tenth_and_the_seed_decides_which() -> None:
    frame = pairs(*[f"u{row} i{row}" for row in range(200)])
    split, again, other = (random_out(frame, share=0.1, seed=seed) for seed in (7, 7, 8))
    assert (split.train.height, split.held_out.height) == (180, 20)
    assert split.train.join(split.held_out, on=["user_id", "item_id"]).is_empty()
    assert split.held_out.equals(again.held_out)
    assert not split.held_out.equals(other.held_out)


def test_a_share_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(BadEvaluationInput, match=r"a share of 1 was asked for; give one between 0 and 1"):
        random_out(ORDERED, share=1, seed=7)
