import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import SchemaMismatch, UnreadableInput
from contracts.schemas import EVENTS, INCOMING, ITEMS
from pipeline.ingestion.readers import ReadTable, conform, read_table, to_arrow

HEADER = "user_id,item_id,action,timestamp"


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def read_events(tmp_path: Path, *lines: str) -> ReadTable:
    return read_table(written(tmp_path / "events.csv", *lines), "events")


def test_absent_optional_columns_are_null_and_types_are_the_contracts(tmp_path: Path) -> None:
    read = read_events(tmp_path, HEADER, "u,i,save,2016-03-14")
    assert to_arrow(read.frame, EVENTS).schema == EVENTS
    assert read.frame["event_id"].to_list() == [None]
    assert read.warnings == ()


def test_unknown_columns_are_left_out_and_named(tmp_path: Path) -> None:
    read = read_events(tmp_path, f"{HEADER},mood,weather", "u,i,save,2016-03-14,good,fine")
    assert read.warnings == (f"{tmp_path}/events.csv: unknown columns left out: mood, weather",)
    assert read.frame.columns == EVENTS.names


def test_a_missing_required_column_is_named_with_those_present(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch) as error:
        read_events(tmp_path, "user_id,item_id,when", "u,i,2016-03-14")
    assert str(error.value) == (
        f"{tmp_path}/events.csv: events lack the required columns action, timestamp; "
        "the file has user_id, item_id, when; give other names with --map theirs=action"
    )


@pytest.mark.parametrize("user", ["4711", "alice"])
def test_a_file_without_header_is_not_quoted(tmp_path: Path, user: str) -> None:
    with pytest.raises(SchemaMismatch) as error:
        read_events(tmp_path, f"{user},i9,save,2016-03-14", "4712,i,save,2016-03-14")
    assert "the file has no known column (has it a header line?); give" in str(error.value)
    assert not {user, "i9", "save"} & set(re.findall(r"\w+", str(error.value).removeprefix(str(tmp_path))))


def test_bad_dates_and_null_ids_go_through_as_null(tmp_path: Path) -> None:
    rows = ("u,i,save,2016-03-14", "u,i,save,yesterday", ",i,save,2016-03-14", "u,i,dance,2016-03-14")
    read = read_events(tmp_path, HEADER, *rows)
    assert read.frame["timestamp"].is_null().to_list() == [False, True, False, False]
    assert read.frame["user_id"].to_list() == ["u", "u", None, "u"]
    assert read.frame["action"].to_list()[-1] == "dance"
    assert read.warnings == (
        f"{tmp_path}/events.csv: timestamp: 1 values cannot be read and count as null: 1 are neither ISO 8601 nor Unix "
        "time; write them as 2017-03-01T12:00:00Z (such as aaaaaaaaa)",
        f"{tmp_path}/events.csv: action: 1 rows have an action that the contract does not have (dance); known are "
        "impression, click, save, hide, unhide; map others, as in --action 'dance=click'",
    )


def test_duplicates_and_unknown_items_are_for_the_night(tmp_path: Path) -> None:
    same = "e1,u,nowhere,save,2016-03-14"
    assert len(read_events(tmp_path, f"event_id,{HEADER}", same, same).frame) == 2


def test_a_column_of_which_nothing_can_be_read_is_of_the_wrong_type(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch) as error:
        read_events(tmp_path, HEADER, "u,i,save,soon", "u,i,save,later")
    assert str(error.value) == (
        f"{tmp_path}/events.csv: timestamp: want UTC instants (ISO 8601 or Unix time), "
        "have String of which no value reads as such: "
        "2 are neither ISO 8601 nor Unix time; write them as 2017-03-01T12:00:00Z"
    )


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        ("events", "timestamp", [True], "timestamp: want UTC instants (ISO 8601 or Unix time), have Boolean"),
        ("events", "user_id", [1.5], "user_id: want text or integers, have Float64"),
        ("events", "position", [[1]], "position: want whole numbers, have List(Int64)"),
        ("items", "categories", [3], "categories: want a list of texts, or one text with '|' between, have Int64"),
        ("items", "embedding", [["a"]], "embedding: want a list of finite numbers, have List(String)"),
        ("items", "embedding", [3], "embedding: want a list of finite numbers, have Int64"),
        ("opt_outs", "opted_out", [0.5], "opted_out: want true or false, have Float64"),
    ],
)
def test_a_wrong_type_names_the_wanted_one(table: str, column: str, values: list[object], message: str) -> None:
    good = {name: ["2016"] for name in INCOMING[table].names}
    with pytest.raises(SchemaMismatch) as error:
        conform(pl.DataFrame(good | {column: values}), table, "F")
    assert str(error.value).startswith(f"F: {message}")


def test_a_column_of_nulls_is_no_wrong_type() -> None:
    read = conform(pl.DataFrame({"item_id": ["i"], "embedding": [None], "title": [None]}), "items", "F")
    assert read.frame.row(0)[1] is None


def test_embeddings_have_one_length() -> None:
    with pytest.raises(SchemaMismatch, match=r"embedding: want vectors of one length, have lengths \[1, 2\]"):
        conform(pl.DataFrame({"item_id": ["a", "b"], "embedding": [[1.0], [1.0, 2.0]]}), "items", "F")


def test_items_in_csv(tmp_path: Path) -> None:
    path = written(tmp_path / "items.csv", "item_id,title,categories,embedding", '01,"A, b",x|y,"[1, 0.5]"')
    frame = read_table(path, "items").frame
    assert frame.select("item_id", "title", "categories", "embedding").row(0) == ("01", "A, b", ["x", "y"], [1.0, 0.5])
    assert to_arrow(frame, ITEMS).schema == ITEMS


def test_items_without_id_or_twice_are_reported() -> None:
    read = conform(pl.DataFrame({"item_id": ["a", "a", None, ""]}), "items", "F")
    assert read.warnings == (
        "F: 2 rows without item_id count for nothing",
        "F: 1 rows repeat an item_id; the last row of each counts",
    )


def test_a_table_without_rows(tmp_path: Path) -> None:
    for table in ("events", "items", "users"):
        path = written(tmp_path / f"{table}.csv", ",".join(INCOMING[table].names))
        with pytest.raises(UnreadableInput, match=f"{table}.csv: has columns but no rows; export it again"):
            read_table(path, table)
    path = written(tmp_path / "opt_outs.csv", ",".join(INCOMING["opt_outs"].names))
    assert read_table(path, "opt_outs").frame.is_empty()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.from_regex(r"0{1,5}[0-9]{1,19}", fullmatch=True), min_size=1, max_size=20))
def test_ids_in_csv_keep_their_leading_zeros(tmp_path: Path, ids: list[str]) -> None:
    read = read_events(tmp_path, HEADER, *(f"{user},{user},save,2016-03-14" for user in ids))
    assert read.frame["user_id"].to_list() == read.frame["item_id"].to_list() == ids


def test_integer_ids_of_any_width_are_their_digits(tmp_path: Path) -> None:
    ids = pa.table({"user_id": pa.array([7], pa.int8()), "item_id": pa.array([2**64 - 1], pa.uint64())})
    rows = pl.DataFrame(ids).with_columns(action=pl.lit("save"), timestamp=pl.lit(10**9))
    rows.write_parquet(tmp_path / "e.parquet")
    assert read_table(tmp_path / "e.parquet", "events").frame.row(0)[1:3] == ("7", "18446744073709551615")


def test_instants_that_are_lost_are_shown_as_patterns_with_the_reason(tmp_path: Path) -> None:
    times = ("20170301", "1.7e9", "12/31/2016", "01/02/2016", "2017-02-30", "86400", "9999-12-31T23:59:59-12:00", "")
    read = read_events(tmp_path, HEADER, *(f"u,i,save,{time}" for time in times))
    days = [None if at is None else f"{at:%Y-%m-%d}" for at in read.frame["timestamp"]]
    assert days == ["2017-03-01", "2023-11-14", None, None, None, None, None, None]
    assert read.warnings == (
        f"{tmp_path}/events.csv: timestamp: 5 values cannot be read and count as null: 2 are neither ISO 8601 nor Unix "
        "time; write them as 2017-03-01T12:00:00Z (such as 99/99/9999), 2 are no day of the calendar, or outside of "
        "the years 1 to 9999 (such as 9999-99-99 or 9999-99-99a99:99:99-99:99), 1 are too small or too large for Unix "
        "time; write ISO 8601, or Unix time from 10^8 on (such as 99999)",
    )


def test_other_lost_values_name_what_to_write(tmp_path: Path) -> None:
    read = read_events(
        tmp_path, f"{HEADER};position;propensity".replace(",", ";"), "u;i;save;2016;1.5;0,25", "u;i;save;20160314;2;0.5"
    )
    assert read.frame["propensity"].to_list() == [None, 0.5]
    assert [warning.split("csv: ")[1] for warning in read.warnings[1:]] == [
        "position: 1 values cannot be read and count as null: 1 are no whole numbers of 32 bits (such as 9.9)",
        "propensity: 1 values cannot be read and count as null: 1 are no finite numbers; write 0.5, with a point "
        "(such as 9,99)",
    ]


def test_unknown_actions_are_named_with_the_option_and_odd_ones_are_not_shown(tmp_path: Path) -> None:
    rows = ("u,i,Click,2016-03-14", "u,i,Click,2016-03-14", "u,i,user-4711,2016-03-14", "u,i, save ,2016-03-14")
    (warning,) = read_events(tmp_path, HEADER, *rows).warnings
    assert warning.endswith(
        "action: 3 rows have an action that the contract does not have (Click); known are impression, click, save, "
        "hide, unhide; map others, as in --action 'Click=click'"
    )
    (warning,) = read_events(tmp_path, HEADER, "u,i,user-4711,2016-03-14").warnings
    assert "4711" not in warning
    assert "--action 'theirs=click'" in warning
