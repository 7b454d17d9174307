"""The arrays of a cutoff, computed by hand: which items and users are in them, in what order, and what is unknown."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.feature_assembly import (
    FeatureSnapshot,
    at_cutoff,
    read_ingested_tables,
    read_items,
    read_snapshot,
    rows_of,
)
from pipeline.run_context import RunContext
from ranking.feature_arrays import ids_of
from ranking.feature_names import ITEM_FEATURE_NAMES, USER_FEATURE_NAMES
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade, hours


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path)


def snapshot(night: RunContext) -> FeatureSnapshot:
    return read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())


def test_the_catalogue_is_ordered_and_lists_every_word_once(night: RunContext) -> None:
    ingested = read_ingested_tables(night)
    assert ingested.items["item_id"].to_list() == ["a", "b", "c", "d", "later"]
    assert (ingested.creators, ingested.languages, ingested.categories) == (["ann", "bob"], ["en", "pt"], ["x", "y"])
    assert ingested.regions == ["SP", "TX"]
    assert not ingested.excluded.any()


def test_a_snapshot_holds_the_items_that_exist_by_its_cutoff(night: RunContext) -> None:
    arrays = snapshot(night)
    assert arrays.items.ids.tolist() == ["a", "b", "c", "d"]
    assert arrays.catalogue_rows.tolist() == [0, 1, 2, 3]
    assert arrays.hours == CUTOFF.timestamp() / 3600


def test_unknown_words_are_minus_one_and_unknown_numbers_nan(night: RunContext) -> None:
    items = snapshot(night).items
    assert items.creator.tolist() == [0, 1, -1, 0]
    assert items.language.tolist() == [0, 1, -1, 0]
    assert items.category_offsets.tolist() == [0, 2, 3, 3, 4]
    assert items.category_codes.tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(items.created_hours - CUTOFF.timestamp() / 3600, [-48, -24, np.nan, -2])
    users = ITEM_FEATURE_NAMES.index("users")
    assert items.features[:, users].tolist() == [2] * 4
    assert np.isnan(np.delete(items.features, users, axis=1)).all()


def test_items_carry_the_vectors_of_the_tower(night: RunContext) -> None:
    items = snapshot(night).items
    assert items.vectors.tolist() == [[0, 1], [1, 1], [2, 1], [3, 1]]
    assert items.text_vectors.shape == (4, 3)


def test_without_a_tower_the_vectors_have_no_columns(night: RunContext) -> None:
    items, rows = read_items(night, read_ingested_tables(night), CUTOFF, None)
    assert (items.vectors.shape, items.text_vectors.shape, rows.tolist()) == ((4, 0), (4, 0), [0, 1, 2, 3])


def test_users_with_examples_have_a_row_each_ordered_by_id(night: RunContext) -> None:
    users = snapshot(night).users
    assert users.ids.tolist() == ["u1", "u2"]
    assert users.region.tolist() == [0, -1]
    assert users.vectors.tolist() == [[2, 0], [1, 0]]
    clicks = USER_FEATURE_NAMES.index("clicks")
    np.testing.assert_array_equal(users.features[:, clicks], [1, np.nan])


def test_the_history_is_what_a_user_clicked_saved_or_hid_oldest_first(night: RunContext) -> None:
    """`a` was shown again after the click; that is no part of its history."""
    users = snapshot(night).users
    assert users.history_offsets.tolist() == [0, 2, 4]
    assert users.history_items.tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(users.history_clicks, np.array([0.5, 0.5, 0.5, np.nan], np.float32))
    assert users.history_hours.tolist() == [hours(at).timestamp() / 3600 for at in (-10, -5, -4, -3)]


def test_a_history_of_an_earlier_version_is_ordered_by_the_last_event(night: RunContext) -> None:
    table = night.lake.scan("interactions", night.splits.as_of).collect().with_columns(last_at="last_interaction_at")
    night.overwrite("interactions", table.drop("impressions_28d", "last_interaction_at"))
    assert snapshot(night).users.history_items.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("subject_type", "subject_id", "left"),
    [("item", "b", ["a", "c", "d"]), ("creator", "ann", ["b", "c"]), ("item", "later", ["a", "b", "c", "d"])],
)
def test_excluded_items_are_in_no_snapshot(
    night: RunContext, subject_type: str, subject_id: str, left: list[str]
) -> None:
    night.opt_outs.set(subject_type, subject_id, "recommendation")
    arrays = snapshot(night)
    assert arrays.items.ids.tolist() == left
    ingested = read_ingested_tables(night)
    assert [ingested.items["item_id"][int(row)] for row in arrays.catalogue_rows] == left
    kept = set(arrays.users.history_items.tolist())
    assert kept <= set(range(len(left))), "a history refers to rows of the snapshot"


def test_a_creator_that_opted_out_as_a_user_is_no_longer_named_but_still_excludes(night: RunContext) -> None:
    night.opt_outs.set("user", "ann", "erasure")
    ingested = read_ingested_tables(night)
    assert ingested.creators == ["bob"]
    assert ingested.items["creator_id"].to_list() == [None, "bob", None, None, "bob"]
    night.opt_outs.set("creator", "ann", "recommendation")
    assert snapshot(night).items.ids.tolist() == ["b", "c"]


def test_rows_of_another_cutoff_are_not_read(night: RunContext) -> None:
    assert at_cutoff(night, "user_features", hours(-1)).collect().is_empty()
    assert at_cutoff(night, "user_features", CUTOFF).collect()["user_id"].to_list() == ["u1"]


def test_rows_of_ids_are_null_for_the_unknown_and_keep_their_order() -> None:
    assert rows_of(pl.Series(["b", "x", "a", None]), ids_of(["a", "b"])).to_list() == [1, None, 0, None]
    assert rows_of(pl.Series(["b"]), ids_of([])).to_list() == [None]
