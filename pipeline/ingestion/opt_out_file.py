"""A file of opt-outs, which goes to the opt-out store, not to the landing zone.

A row that cannot be read stops the import before anything is stored: an opt-out must never be skipped in silence.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from contracts import OptOut
from contracts import columns as c
from contracts.errors import BadId, UnknownOptOut, UnreadableInput
from contracts.ids import read_id
from contracts.opt_out_flags import checked
from contracts.schemas import INCOMING
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping
from pipeline.ingestion.readers import ReadTable, read_table


class OptOutWriter(Protocol):
    """Where opt-outs are kept."""

    def load(self, opt_outs: Iterable[OptOut]) -> object:
        """Keep many at once, all or none; of two about the same flag, the later `effective_at` counts."""
        ...


class Erasures(Protocol):
    """Who is erased."""

    def erased(self) -> Collection[str]:
        """Every user who is, in every spelling of the id."""
        ...

    def withhold(self, items_of: Mapping[str, Iterable[str]]) -> object:
        """Some creators are about to lose their name: keep their items out of feeds if the creator asked for it."""
        ...


def read_opt_outs(path: Path, mapping: NameMapping = NO_MAPPING) -> tuple[tuple[OptOut, ...], ReadTable]:
    """The file's opt-outs. Raises `UnreadableInput` and `UnknownOptOut`, each naming the file and the row."""
    read = read_table(path, "opt_outs", mapping)
    rows = enumerate(read.frame.iter_rows(named=True), 1)
    return tuple(_opt_out(path, read, number, row) for number, row in rows), read


def _opt_out(path: Path, read: ReadTable, number: int, row: dict[str, Any]) -> OptOut:
    missing = [column for column, value in row.items() if value is None]
    if missing:
        wrong_id = c.SUBJECT_ID in missing
        why = f" (it {why_unreadable(path, read, c.SUBJECT_ID, number - 1)})" if wrong_id else ""
        raise UnreadableInput(
            f"{path}: row {number} has no readable {', '.join(missing)}; correct it: nothing was imported{why}"
        )
    try:
        subject_type, flag = checked(str(row[c.SUBJECT_TYPE]), str(row[c.FLAG]))
        subject_id = read_id(row[c.SUBJECT_ID])
    except UnknownOptOut as error:
        raise UnknownOptOut(f"{path}: row {number}: {error}") from None
    return OptOut(subject_type, subject_id, flag, bool(row[c.OPTED_OUT]), row[c.EFFECTIVE_AT])


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
