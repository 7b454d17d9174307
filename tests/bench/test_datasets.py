"""Public data sets, on made-up files of the same layout."""

from pathlib import Path

import polars as pl
import pytest

from tastefeed.bench.datasets import load
from tastefeed.contracts.errors import DataMissing


def written(folder: Path, name: str, frame: pl.DataFrame) -> Path:
    (folder / name).mkdir()
    frame.write_parquet(folder / name / "interactions.parquet")
    return folder


def words(frame: pl.DataFrame) -> list[str]:
    return [" ".join(row) for row in frame.rows()]


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


def test_ml_1m_is_cut_by_each_users_own_order(tmp_path: Path) -> None:
    split = load(written(tmp_path, "ml-1m", ML_1M), "ml-1m", seed=7)
    assert (split.ordered, split.k) == (True, 10)
    assert sorted(words(split.test)) == ["1 12", "2 11"]
    assert sorted(words(split.validation)) == ["1 10", "2 13"]
    assert words(split.validation_train) == ["1 11", "2 10", "1 13"]  # at 1/4, 1/3 and 2/4 of their own histories
    assert split.train.schema == {"user_id": pl.String, "item_id": pl.String}


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


def test_an_absent_folder_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"gowalla/interactions.parquet: no such file; skipped, give the folder"):
        load(tmp_path, "gowalla", seed=7)


def test_an_unknown_data_set_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="netflix: no such data set; choose one of gowalla, ml-1m"):
        load(tmp_path, "netflix", seed=7)
