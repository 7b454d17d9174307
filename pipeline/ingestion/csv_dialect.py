"""The delimiter of a CSV file, and how many lines stand before its header, by the header itself."""

import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import SchemaMismatch
from contracts.ids import BLANKS
from pipeline.ingestion.text_encoding import head_of

DELIMITERS = (",", ";", "\t", "|")
EXCEL_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
"""How a first line names the delimiter to Excel."""


@dataclass(frozen=True)
class Dialect:
    """How a file is laid out; `names` are its columns without surrounding blanks."""

    delimiter: str
    skip_lines: int
    names: tuple[str, ...]


def dialect_of(path: Path, known: Collection[str], source: str) -> Dialect:
    """The delimiter with which the header holds the most known columns, then the most columns at all.

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
