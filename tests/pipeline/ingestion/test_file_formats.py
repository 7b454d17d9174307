import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from contracts.errors import UnreadableInput
from pipeline.ingestion.file_formats import read_file


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableInput) as error:
        read_file(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.CSV"])
def test_csv_is_read_as_text(tmp_path: Path, name: str) -> None:
    text = b"user_id,position\n007,1\n,2\n"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_file(tmp_path / name).rows() == [("007", "1"), (None, "2")]


@pytest.mark.parametrize("name", ["e.jsonl", "e.ndjson", "e.jsonl.gz"])
def test_json_lines_keep_their_types(tmp_path: Path, name: str) -> None:
    text = b'{"user_id": "007", "position": 1}\n\n{"user_id": "u", "position": null}\n'
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_file(tmp_path / name).rows() == [("007", 1), ("u", None)]


def test_parquet_is_read(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [7]}).write_parquet(tmp_path / "e.parquet")
    assert read_file(tmp_path / "e.parquet").rows() == [(7,)]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "e.csv") == f"{tmp_path}/e.csv: no such file; check the path"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "e.csv").mkdir()
    assert refusal(tmp_path / "e.csv").endswith("e.csv: is a folder; name the files in it")


@pytest.mark.parametrize("name", ["e.parquet", "e.csv", "e.jsonl", "e.csv.gz"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert refusal(tmp_path / name).endswith(f"{name}: is empty (0 bytes); export it again")


@pytest.mark.parametrize(("name", "shown"), [("e.xlsx", ".xlsx"), ("e", "(none)"), ("e.parquet.gz", ".parquet.gz")])
def test_an_unknown_extension_names_the_known_ones(tmp_path: Path, name: str, shown: str) -> None:
    (tmp_path / name).write_text("x")
    assert f"unknown extension '{shown}'; use one of .parquet, .csv, .tsv, .jsonl, .ndjson" in refusal(tmp_path / name)


def test_a_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pl.DataFrame({"user_id": ["u"] * 99}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(path).endswith("is no whole parquet file (truncated or damaged); export it again")


def test_an_invalid_json_line_is_counted_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text('{"user_id": "secret"}\n{"user_id": secret}\n')
    assert refusal(path).endswith("e.jsonl: line 2 is no JSON object; write one object a line, not nested too deeply")


def test_a_json_array_is_no_line_of_objects(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('[{"user_id": "u"}]\n')
    assert "line 1 is no JSON object" in refusal(tmp_path / "e.jsonl")


def test_a_json_column_of_mixed_kinds(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"a": [1]}\n{"a": {"b": 2}}\n')
    assert "a column mixes kinds of values" in refusal(tmp_path / "e.jsonl")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_truncated_gzip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"e.{suffix}.gz"
    path.write_bytes(gzip.compress(b'{"user_id": "u"}\n' * 99)[:-12])
    assert re.search(r"cut end|no whole gzip file", refusal(path))


@pytest.mark.parametrize("text", [b"a,b\n1,2,3\n", b'a,b\n"1,2\n3,4\n'])
def test_a_csv_that_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "e.csv").write_bytes(text)
    assert "cannot be read as CSV" in refusal(tmp_path / "e.csv")


def test_a_parquet_of_one_value_a_million_times_over_is_refused_before_it_is_read(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_id": ["u"]}).select(pl.col("user_id").repeat_by(2_000_000).explode())
    rows.write_parquet(tmp_path / "e.parquet", row_group_size=2_000_000)
    assert "holds 2,000,000 rows in " in refusal(tmp_path / "e.parquet")
