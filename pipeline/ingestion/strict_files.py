"""Files in which every row must be readable: opt-outs, and lists of users.

Opt-outs go to the opt-out store, not to the landing zone. A row that cannot be read stops the import before anything is
stored: an opt-out must never be skipped in silence.
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
    """A store of opt-outs."""

    def load(self, opt_outs: Iterable[OptOut]) -> object:
        """Store many at once, all or none; of two for the same flag, the later `effective_at` counts."""
        ...


class Erasures(Protocol):
    """The erased users."""

    def erased(self) -> Collection[str]:
        """Every erased user, in every spelling of the id."""
        ...

    def withhold(self, items_of: Mapping[str, Iterable[str]]) -> object:
        """Opt these items out of recommendation where their creator has: the creator's name is about to be removed."""
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


def read_user_ids(path: Path) -> list[str]:
    """The distinct users of a file. Raises `UnreadableInput`, `SchemaMismatch` and `BadId`."""
    read = read_table(path, "users")
    check_ids(path, read, c.USER_ID)
    return list(dict.fromkeys(map(read_id, read.frame[c.USER_ID])))


def check_ids(path: Path, read: ReadTable, column: str) -> None:
    """Raise `BadId` where a row of the table lacks a readable id, with the first such row and the reason."""
    missing = read.frame[column].is_null().arg_true()
    if len(missing):
        row = int(missing[0])
        raise BadId(f"{path}: row {row + 1}: {column} {why_unreadable(path, read, column, row)}")


def why_unreadable(path: Path, read: ReadTable, column: str, row: int) -> str:
    """Why the value of a row, counted from 0, is no id, in the words of `BadId`."""
    theirs = read.used.get(column, column)
    value = read_file(path, known={*INCOMING[read.table].names, theirs})[theirs][row]
    try:
        read_id("" if value is None else value)
    except BadId as error:
        return str(error)
    return "cannot be read; send it as text"
