"""Pairs of user and item as text, as rows of a matrix, and as labels."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from benchmarks.interaction_matrix import (
    EPOCH,
    coded,
    dated,
    in_order,
    interaction_matrix,
    labels_of,
    read_named,
    read_train,
)
from contracts.errors import SchemaMismatch, UnreadableInput

PAIRS = pl.DataFrame({"user_id": ["u2", "u1", "u2", "u2"], "item_id": ["b", "a", "a", "b"]})


def written(folder: Path, frame: pl.DataFrame) -> Path:
    frame.write_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet"


def test_a_pair_that_comes_twice_counts_once() -> None:
    table = interaction_matrix(PAIRS)
    assert table.user_ids.to_list() == ["u1", "u2"]
    assert table.item_ids.to_list() == ["a", "b"]
    assert table.matrix.toarray().tolist() == [[1, 0], [1, 1], [0, 0]]
    assert table.counts.tolist() == [2, 1]


def test_an_unknown_user_has_the_empty_row() -> None:
    table = interaction_matrix(PAIRS)
    rows = table.rows_of(pl.Series(["u2", "stranger", "u1", "u2"]))
    assert rows.tolist() == [1, 2, 0, 1]
    assert table.matrix[rows[1]].nnz == 0


def test_pairs_of_other_users_and_items_have_no_code() -> None:
    rows = coded(PAIRS, pl.Series(["u2"]), pl.Series(["a", "never"]))
    assert rows.rows() == [(0, 0)]


def test_a_test_item_that_training_lacks_is_a_label_that_no_list_can_hold() -> None:
    test = pl.DataFrame({"user_id": ["u1", "u1"], "item_id": ["new", "b"]})
    labels = labels_of(test, pl.Series(["u1", "u2"]), pl.Series(["a", "b"]))
    assert labels.item_rows.tolist() == [1, 2]
    assert labels.offsets.tolist() == [0, 2, 2]


def test_numbers_that_count_steps_are_an_order() -> None:
    rows = dated(PAIRS.with_columns(timestamp=pl.Series([3, 1, 2, 0])))
    assert rows["timestamp"].to_list() == [EPOCH + timedelta(seconds=step) for step in (3, 1, 2, 0)]


def test_unix_time_and_instants_are_the_same() -> None:
    instant = datetime(2024, 3, 1, tzinfo=UTC)
    unix = dated(PAIRS.with_columns(timestamp=pl.lit(int(instant.timestamp()))))
    text = dated(PAIRS.with_columns(timestamp=pl.lit(instant)))
    assert unix["timestamp"].to_list() == text["timestamp"].to_list() == [instant] * 4


def test_rows_are_read_oldest_first(tmp_path: Path) -> None:
    path = written(tmp_path, PAIRS.with_columns(timestamp=pl.Series([3, 1, 2, 0])))
    assert read_train(path, ordered=False, seed=1)["item_id"].to_list() == ["b", "a", "a", "b"]
    assert read_train(path, ordered=False, seed=1)["user_id"].to_list() == ["u2", "u1", "u2", "u2"]


def test_without_an_order_all_rows_stay() -> None:
    rows = in_order(PAIRS, ordered=False, seed=1)
    assert rows.columns == ["user_id", "item_id"]
    assert rows.sort("user_id", "item_id").equals(PAIRS.sort("user_id", "item_id"))


def test_ties_of_time_are_broken_at_random_unless_rows_are_in_order() -> None:
    many = pl.DataFrame({"user_id": "u", "item_id": [f"i{row}" for row in range(50)], "timestamp": 7})
    assert in_order(many, ordered=True, seed=1)["item_id"].equals(many["item_id"])
    assert not in_order(many, ordered=False, seed=1)["item_id"].equals(many["item_id"])


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (PAIRS.drop("item_id"), SchemaMismatch, "lacks item_id; have user_id"),
        (PAIRS.head(0), UnreadableInput, "has columns but no rows"),
        (PAIRS.with_columns(user_id=pl.lit(1.0)), SchemaMismatch, "user_id: want text or whole numbers, have Float64"),
        (PAIRS.with_columns(item_id=pl.lit(None, pl.String)), UnreadableInput, "4 rows have no readable item_id"),
        (PAIRS.with_columns(timestamp=pl.lit([1])), SchemaMismatch, "timestamp: want instants or Unix time"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, frame: pl.DataFrame, error: type, message: str) -> None:
    with pytest.raises(error, match=f"pairs.parquet: .*{message}|pairs.parquet: {message}"):
        read_train(written(tmp_path, frame), ordered=False, seed=1)


def test_a_missing_and_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="no such file"):
        read_named(tmp_path / "none.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnreadableInput, match="no whole parquet file"):
        read_named(tmp_path / "damaged.parquet")
