"""Read one file into a frame: parquet, CSV (every column as text) or JSON lines; text may be gzipped."""

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.exceptions import PanicException, PolarsError

from contracts.errors import SchemaMismatch, UnreadableInput
from contracts.ids import BLANKS
from pipeline.ingestion.text_encoding import as_utf8, encoding_fault, head_of

DELIMITERS = (",", ";", "\t", "|")
EXCEL_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
"""A first line that names the delimiter, as Excel writes it."""


@dataclass(frozen=True)
class Dialect:
    """The layout of a CSV file; `names` are its columns without surrounding blanks."""

    delimiter: str
    skip_lines: int
    names: tuple[str, ...]


def dialect_of(path: Path, known: Collection[str], source: str) -> Dialect:
    """The delimiter for which the header has the most known columns, then the most columns.

    Raises `SchemaMismatch` where the header has a known column twice.
    """
    text = head_of(path).decode("utf-8", errors="replace")
    named = EXCEL_LINE.match(text)
    rest = text[named.end() :] if named else text
    headers = {delimiter: _header(rest, delimiter) for delimiter in ([named[1]] if named else DELIMITERS)}
    best = max(headers, key=lambda delimiter: (len(set(headers[delimiter]) & set(known)), len(headers[delimiter])))
    names = headers[best]
    twice = [name for name in known if names.count(name) > 1]
    if twice:
        raise SchemaMismatch(f"{source}: the header has {', '.join(sorted(twice))} twice; drop or rename one")
    return Dialect(best, 1 if named else 0, names)


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    try:
        row = next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row), [])
    except csv.Error:
        return ()
    return tuple(name.strip(BLANKS) for name in row)


GZIP = ".gz"
PARQUET = ".parquet"
READER_FAULTS = (PolarsError, PanicException)
MAX_ROWS_PER_BYTE = 100
"""Parquet writes a column of one value in a few bytes, however many rows it has; events take bytes a row."""
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""An escape sequence of JSON, two halves of one character together; `lone` is half a character that stands alone."""

TextReader = Callable[[Path, Path, Collection[str]], pl.DataFrame]
"""Reads plain UTF-8, given that file, the one that was handed in, and known columns."""


def read_file(path: Path, known: Collection[str] = ()) -> pl.DataFrame:
    """The file's rows; `known` are columns by which the header of a CSV file is recognized.

    Raises `UnreadableInput` that names the file, what is wrong with it and the remedy. The reader's own words stay out
    of the message: they quote the file, and a file may hold user ids.
    """
    suffix = _suffix(path)
    if not path.exists():
        raise UnreadableInput(f"{path}: no such file; check the path")
    if path.is_dir():
        raise UnreadableInput(f"{path}: is a folder; name the files in it")
    if path.stat().st_size == 0:
        raise UnreadableInput(f"{path}: is empty (0 bytes); export it again")
    try:
        return _read_parquet(path) if suffix == PARQUET else _read_text(path, READERS[suffix], known)
    except OSError as error:
        raise UnreadableInput(
            f"{path}: cannot be read ({error.strerror or 'input error'}); check it and the space for temporary files"
        ) from error


def _suffix(path: Path) -> str:
    packed = path.name.lower().endswith(GZIP)
    suffix = Path(path.name[: -len(GZIP)] if packed else path.name).suffix.lower()
    if suffix not in (PARQUET, *READERS) or (packed and suffix == PARQUET):
        raise UnreadableInput(
            f"{path}: unknown extension {''.join(path.suffixes[-2:]) or '(none)'!r}; "
            f"use one of {', '.join((PARQUET, *READERS))} (text also with {GZIP})"
        )
    return suffix


def _read_text(path: Path, read: TextReader, known: Collection[str]) -> pl.DataFrame:
    with as_utf8(path) as plain:
        if plain.stat().st_size == 0:
            raise UnreadableInput(f"{path}: is empty; export it again")
        return read(plain, path, known)


def _read_parquet(path: Path) -> pl.DataFrame:
    # by Arrow, as polars ends the process's thread with a trace of its own where some bytes are damaged
    try:
        with pq.ParquetFile(path) as file:
            rows, size = file.metadata.num_rows, path.stat().st_size
            if rows > MAX_ROWS_PER_BYTE * size:
                raise UnreadableInput(
                    f"{path}: holds {rows:,} rows in {size:,} bytes, so they are all alike; look at it, and export it "
                    "as CSV if it is what you expect"
                )
            table = file.read()
            table.validate(full=True)
        return pl.DataFrame(pa.table(table.columns, names=table.schema.names))  # without metadata, which may be damaged
    except (pa.ArrowException, PolarsError, OSError, ValueError) as error:
        raise UnreadableInput(f"{path}: is no whole parquet file (truncated or damaged); export it again") from error


def _read_csv(plain: Path, path: Path, known: Collection[str]) -> pl.DataFrame:
    dialect = dialect_of(plain, known, str(path))
    try:
        # as text: an inferred integer would cost an id its leading zeros
        rows = pl.read_csv(plain, infer_schema=False, separator=dialect.delimiter, skip_rows=dialect.skip_lines)
    except READER_FAULTS as error:
        fault = encoding_fault(plain) or (
            f"cannot be read as CSV with {dialect.delimiter!r} between (tried comma, semicolon, tab and |); check for "
            "a cut end, open quotes and lines with more fields than the header"
        )
        raise UnreadableInput(f"{path}: {fault}") from error
    return _with_names(rows.filter(pl.any_horizontal(pl.all().is_not_null())), dialect.names)  # a blank line is no row


def _with_names(rows: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """The columns without blanks around their names, where each is the only one of its name."""
    if len(names) != rows.width:
        return rows
    return rows.rename(
        {old: new for old, new in zip(rows.columns, names, strict=True) if new and names.count(new) == 1}
    )


def _read_json_lines(plain: Path, path: Path, known: Collection[str]) -> pl.DataFrame:
    del known
    try:
        with _without_lone_surrogates(plain) as lines:
            return pl.read_ndjson(lines, infer_schema_length=None)
    except READER_FAULTS as error:
        raise UnreadableInput(f"{path}: {encoding_fault(plain) or _json_fault(plain)}") from error


@contextmanager
def _without_lone_surrogates(plain: Path) -> Iterator[Path]:
    """The file, or a copy in which a NUL stands for half a character.

    polars would drop the half in silence, and make one id of two; a control character is refused as the half would be.
    """
    with plain.open("rb") as lines:
        if not any(SURROGATE.search(line) for line in lines):
            yield plain
            return
    with tempfile.TemporaryDirectory(prefix="tastefeed-") as folder:
        copy = Path(folder) / "lines"
        with plain.open("rb") as lines, copy.open("wb") as out:
            out.writelines(ESCAPE.sub(_whole_or_nul, line) for line in lines)
        yield copy


def _whole_or_nul(escape: re.Match[bytes]) -> bytes:
    return rb"\u0000" if escape["lone"] else escape[0]


def _json_fault(path: Path) -> str:
    """What is wrong with a file of JSON lines, by its first bad line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip() and not _is_json_object(line):
                return f"line {number} is no JSON object; write one object a line, not nested too deeply"
    return "a column mixes kinds of values, such as lists and numbers; give each column one kind"


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


READERS: dict[str, TextReader] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
"""The reader of each extension of text."""
