"""Why a row of a file has no readable id: for files of which each row counts."""

from pathlib import Path

from contracts.errors import BadId
from contracts.ids import read_id
from contracts.schemas import INCOMING
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.readers import ReadTable


def check_ids(path: Path, read: ReadTable, column: str) -> None:
    """Raises `BadId` where a row of the table lacks a readable id: the first such row, and why."""
    missing = read.frame[column].is_null().arg_true()
    if len(missing):
        row = int(missing[0])
        raise BadId(f"{path}: row {row + 1}: {column} {why_unreadable(path, read, column, row)}")


def why_unreadable(path: Path, read: ReadTable, column: str, row: int) -> str:
    """Why the value of a row, counted from 0, is no id, as `BadId` says it."""
    theirs = read.used.get(column, column)
    value = read_file(path, known={*INCOMING[read.table].names, theirs})[theirs][row]
    try:
        read_id("" if value is None else value)
    except BadId as error:
        return str(error)
    return "cannot be read; send it as text"
