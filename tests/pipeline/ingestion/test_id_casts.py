"""What only a whole column of ids shows; value by value it is `test_column_and_value`."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from contracts.errors import SchemaMismatch
from pipeline.ingestion.readers import ReadTable, conform, read_table


def users(values: list[Any], dtype: Any = None) -> ReadTable:
    return conform(pl.DataFrame({"user_id": pl.Series(values, dtype=dtype)}), "users", "F")


def ids(values: list[Any], dtype: Any = None) -> list[str | None]:
    return users(values, dtype).frame["user_id"].to_list()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["42.0", " 43.0 ", None], pl.String),
        ([42.0, 43.0, float("nan")], pl.Float64),
        ([42.0, 43.0, None], pl.Float32),
        ([Decimal("42.00"), Decimal(43), None], pl.Decimal(10, 2)),
    ],
)
def test_integers_written_as_floats_are_read_as_integers_with_a_note(values: list[Any], dtype: Any) -> None:
    read = users(values, dtype)
    assert read.frame["user_id"].to_list() == ["42", "43", None]
    assert read.notes == (
        "F: user_id: 2 values are integers that end in .0, as pandas writes them; the .0 was dropped",
    )
    assert read.warnings == ("F: 1 rows without user_id count for nothing",)


def test_a_missing_value_spelled_out_does_not_make_a_column_mixed() -> None:
    assert ids(["42.0", "nan", "43.0"]) == ["42", "nan", "43"]


@pytest.mark.parametrize("other", ["43", "x", "42.00", "1.5", "042.0", "1e3.0"])
def test_a_mixed_column_stays_as_it_is(other: str) -> None:
    read = users(["42.0", other])
    assert read.frame["user_id"].to_list() == ["42.0", other]
    assert read.notes == ()


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        ([1.5, 2.0], pl.Float64, "2 are in a column with fractions; export ids as text or integers"),
        ([float("inf"), 1.0], pl.Float64, "2 are in a column with floats of 2^53 and more"),
        ([2.0**53, 1.0], pl.Float64, "2 are in a column with floats of 2^53 and more, which may have lost digits"),
        ([2.0**24], pl.Float32, "floats of 2^24 and more"),
        ([2049.0, 2048.0], pl.Float16, "floats of 2^11 and more"),  # both are 2048
        ([Decimal("1.5")], pl.Decimal(10, 2), "in a column with fractions"),
    ],
)
def test_numbers_that_are_no_exact_integers_are_refused(values: list[Any], dtype: Any, reason: str) -> None:
    with pytest.raises(SchemaMismatch) as error:
        users(values, dtype)
    assert str(error.value).startswith("F: user_id: want text or integers, have ")
    assert reason in str(error.value)


def test_an_optional_column_without_a_number_is_absent() -> None:
    frame = pl.DataFrame({"item_id": ["a"], "creator_id": [float("nan")], "title": [None], "url": [float("nan")]})
    read = conform(frame.with_columns(pl.col("title").cast(pl.Float64)), "items", "F")
    assert read.frame.select("creator_id", "title", "url").row(0) == (None, None, None)
    assert read.warnings == ()


def test_every_id_of_every_table_is_read_so() -> None:
    row = {"user_id": 1.0, "item_id": "2.0", "event_id": 3.0, "session_id": 4.0, "request_id": " 5", "action": " save "}
    events = conform(pl.DataFrame([row | {"timestamp": 10**9}]), "events", "F").frame
    assert events.select(list(row)).row(0) == ("1", "2", "3", "4", "5", "save")
    assert conform(pl.DataFrame({"item_id": [1.0], "creator_id": ["7.0"]}), "items", "F").frame.row(0)[:3:2] == (
        "1",
        "7",
    )
    opt_out = {
        "subject_type": " user",
        "subject_id": 42.0,
        "flag": "erasure ",
        "opted_out": " true",
        "effective_at": 1e9,
    }
    assert conform(pl.DataFrame([opt_out]), "opt_outs", "F").frame.row(0)[:4] == ("user", "42", "erasure", True)


def test_the_reason_is_named_and_the_value_is_not() -> None:
    read = users(["secret\x07", "ok", "x" * 513, "secret\x00"])
    assert read.frame["user_id"].to_list() == [None, "ok", None, None]
    assert read.warnings[0] == (
        "F: user_id: 3 values cannot be read and count as null: 2 hold a control character or a lone surrogate, "
        "1 are longer than 512 characters"
    )
    assert "secret" not in "".join(read.warnings)


def test_bytes_are_text_and_other_bytes_are_not() -> None:
    read = users([b"caf\xc3\xa9", b"caf\xe9"], pl.Binary)
    assert read.frame["user_id"].to_list() == ["café", None]
    assert "1 are not UTF-8" in read.warnings[0]


def test_half_a_character_in_json_is_no_part_of_an_id(tmp_path: Path) -> None:
    path = tmp_path / "u.jsonl"
    halves = [r"u\ud83d", r"u\udE00x", r"\\ud83d", r"\ud83d\ude00", r"\\\ud83d", r"\u0075"]
    path.write_text("".join(f'{{"user_id": "{text}"}}\n' for text in halves))
    assert read_table(path, "users").frame["user_id"].to_list() == [None, None, r"\ud83d", "😀", None, "u"]


def test_half_a_character_in_a_title_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "i.jsonl").write_text('{"item_id": "i", "title": "cut \\ud83d"}\n')
    assert read_table(tmp_path / "i.jsonl", "items").frame["title"].to_list() == ["cut \ufffd"]


def test_long_ids_and_large_integers_keep_every_digit(tmp_path: Path) -> None:
    (tmp_path / "u.jsonl").write_text('{"user_id": 20000000000000000001}\n{"user_id": 7}\n')
    assert read_table(tmp_path / "u.jsonl", "users").frame["user_id"].to_list() == ["20000000000000000001", "7"]
    (tmp_path / "u.csv").write_text("user_id\n00020000000000000000001\n")
    assert read_table(tmp_path / "u.csv", "users").frame["user_id"].to_list() == ["00020000000000000000001"]
    assert ids(["x" * 512]) == ["x" * 512]
