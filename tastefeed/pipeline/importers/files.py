"""One file into a frame, as it is: parquet, CSV (every column as text) and JSON lines, the last two also gzipped."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from tastefeed.contracts.errors import UnreadableInput

GZIP = ".gz"


def read_file(path: Path) -> pl.DataFrame:
    """The file's rows. Raises `UnreadableInput` that names the file, what is wrong with it and the remedy.

    The reader's own words stay out of the message: they quote the file, and a file may hold user ids.
    """
    read = _reader(path)
    if not path.exists():
        raise UnreadableInput(f"{path}: no such file; check the path")
    if path.is_dir():
        raise UnreadableInput(f"{path}: is a folder; name the files in it")
    if path.stat().st_size == 0:
        raise UnreadableInput(f"{path}: is empty (0 bytes); export it again")
    return read(path)


def _reader(path: Path) -> Callable[[Path], pl.DataFrame]:
    suffix = Path(path.name.removesuffix(GZIP)).suffix.lower()
    if suffix not in READERS or (path.name.endswith(GZIP) and suffix == ".parquet"):
        raise UnreadableInput(
            f"{path}: unknown extension {''.join(path.suffixes[-2:]) or '(none)'!r}; "
            f"use one of {', '.join(READERS)} (text also with {GZIP})"
        )
    return READERS[suffix]


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (PolarsError, OSError) as error:
        raise UnreadableInput(f"{path}: is no whole parquet file (truncated or damaged); export it again") from error


def _read_csv(path: Path) -> pl.DataFrame:
    # as text: an inferred integer would cost an id its leading zeros
    try:
        return pl.read_csv(path, infer_schema=False)
    except (PolarsError, OSError) as error:
        raise UnreadableInput(
            f"{path}: cannot be read as CSV; check for a cut end, open quotes, lines with more fields than the header, "
            "and that it is UTF-8"
        ) from error


def _read_json_lines(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ndjson(path, infer_schema_length=None)
    except (PolarsError, OSError) as error:
        raise UnreadableInput(f"{path}: {_json_fault(path)}") from error


def _json_fault(path: Path) -> str:
    """What is wrong with a file of JSON lines, by its first bad line."""
    opened = gzip.open if path.name.endswith(GZIP) else open
    try:
        with opened(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip() and not _is_json_object(line):
                    return f"line {number} is no JSON object; write one object a line"
    except (OSError, EOFError, zlib.error):
        return "is no whole gzip file; export it again"
    return "a column mixes kinds of values, such as lists and numbers; give each column one kind"


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
"""The reader of each extension."""
