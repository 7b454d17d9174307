"""Public data sets, on made-up files of the same layout."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks.datasets import load
from contracts.errors import DataMissing


def written(folder: Path, name: str, frame: pl.DataFrame) -> Path:
    (folder / name).mkdir()
    frame.write_parquet(folder / name / "interactions.parquet")
    return folder


def words(frame: pl.DataFrame) -> list[str]:
    return [" ".join(row) for row in frame.select("user_id", "item_id").rows()]


ML_1M = pl.DataFrame(
    [
        (1, 10, 3),  # rows of the file are in no order
        (1, 11, 1),
        (1, 12, 4),
        (1, 13, 2),
        (1, 99, None),  # an item rated fewer than five times
        (2, 10, 1),
        (2, 13, 2),
        (2, 11, 3),
    ],
    schema={"user_id": pl.Int16, "item_id": pl.Int16, "time_pos": pl.Int16},
    orient="row",
)


def test_ml_1m_is_split_by_each_users_own_order(tmp_path: Path) -> None:
    split = load(written(tmp_path, "ml-1m", ML_1M), "ml-1m", seed=7)
    assert (split.ordered, split.k) == (True, 10)
    assert sorted(words(split.test)) == ["1 12", "2 11"]
    assert sorted(words(split.validation)) == ["1 10", "2 13"]
    assert words(split.validation_train) == ["1 11", "2 10", "1 13"]  # at 1/4, 1/3 and 2/4 of their own histories
    assert split.train.schema == {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC")}


def test_ml_1m_leaves_out_what_has_no_place_in_time(tmp_path: Path) -> None:
    split = load(written(tmp_path, "ml-1m", ML_1M), "ml-1m", seed=7)
    assert split.item_ids.to_list() == ["10", "11", "13"]
    assert split.counts == {"train": 5, "validation": 2, "test": 2, "users": 2, "items": 3}


def test_gowalla_keeps_the_published_test_and_validates_on_a_tenth_of_train(tmp_path: Path) -> None:
    rows = [(user, item, item >= 10) for user in range(10) for item in range(12)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "is_test"], orient="row")
    split = load(written(tmp_path, "gowalla", frame), "gowalla", seed=7)
    assert (split.ordered, split.k) == (False, 20)
    assert sorted(split.test["item_id"].unique()) == ["10", "11"]
    assert (split.train.height, split.validation_train.height, split.validation.height) == (100, 90, 10)
    assert not split.train["user_id"].is_sorted()  # the order of the file is no time
    assert split.train.equals(load(tmp_path, "gowalla", seed=7).train)


def test_an_absent_folder_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"gowalla/interactions.parquet: no such file; skipped, give the folder"):
        load(tmp_path, "gowalla", seed=7)


def test_an_unknown_data_set_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="netflix: no such data set; choose one of gowalla, ml-1m, citeulike-t"):
        load(tmp_path, "netflix", seed=7)


def feed(*rows: tuple[int, int, int, str]) -> pl.DataFrame:
    """Rows of user, item, day of 2017 and action."""
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day", "action"], orient="row")
    when = pl.datetime(2017, 1, 1, 12, time_unit="us", time_zone="UTC") + pl.duration(days="day")
    return frame.with_columns(timestamp=when).drop("day")


def test_deskdrop_is_split_by_time_and_labels_what_training_has(tmp_path: Path) -> None:
    events = feed(
        (1, 10, 0, "click"),
        (2, 11, 1, "save"),
        (3, 12, 8, "click"),
        (2, 10, 9, "click"),  # the week before the last: validation
        (1, 11, 16, "click"),  # the last week
        (1, 10, 16, "save"),  # seen before
        (2, 99, 16, "click"),  # an item without history
        (9, 10, 17, "click"),  # a user without history
        (3, 11, 17, "hide"),  # no taste
        (3, 10, 19, "save"),
    )
    (tmp_path / "deskdrop").mkdir()
    events.write_parquet(tmp_path / "deskdrop" / "events.parquet")
    split = load(tmp_path, "deskdrop", seed=7)
    assert (split.ordered, split.k) == (True, 20)
    assert words(split.test) == ["1 11", "3 10"]
    assert words(split.train) == ["1 10", "2 11", "3 12", "2 10"]
    assert words(split.validation) == ["2 10"]
    assert words(split.validation_train) == ["1 10", "2 11"]


def test_the_bundled_deskdrop_is_readable() -> None:
    split = load(Path(__file__).parents[2] / "data", "deskdrop", seed=7)
    assert (split.train.height, split.test.height, split.test["user_id"].n_unique()) == (38299, 91, 70)


def test_only_ordered_rows_have_a_timestamp(tmp_path: Path) -> None:
    written(tmp_path, "ml-1m", ML_1M)
    saves = [(user, item) for user in ("a", "b") for item in range(11)]
    written(tmp_path, "citeulike-t", pl.DataFrame(saves, schema=["user_id", "item_id"], orient="row"))
    ordered, unordered = (load(tmp_path, name, seed=7) for name in ("ml-1m", "citeulike-t"))
    assert ordered.train["timestamp"].is_sorted()
    assert unordered.train.columns == unordered.test.columns == ordered.test.columns == ["user_id", "item_id"]
    assert unordered.test.group_by("user_id").len()["len"].to_list() == [2, 2], "a fifth of eleven"
    assert not unordered.train.filter(user_id="a")["item_id"].cast(pl.Int64).is_sorted()


def test_amazon_beauty_leaves_the_last_row_out(tmp_path: Path) -> None:
    rows = [("a", item, 5 - item) for item in range(5)]
    written(tmp_path, "amazon-beauty", pl.DataFrame(rows, schema=["user_id", "item_id", "time_pos"], orient="row"))
    split = load(tmp_path, "amazon-beauty", seed=7)
    assert words(split.test) == ["a 0"]
    assert words(split.train) == ["a 4", "a 3", "a 2", "a 1"]
