"""Import: read files, check them against the contract, store each once in the landing zone.

`import_files` is what `tastefeed import` calls; `convert` stops before the landing zone. Stored tables have the
contract's columns and types, and no more is promised: the night quarantines rows that break the contract. Nothing here
needs Spark.

Opt-outs go to the opt-out store, not to the landing zone. A row of them that cannot be read stops the import before
anything is stored: an opt-out must never be skipped in silence. Lists of users are read as strictly.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pyarrow.parquet as pq

from contracts import OptOut
from contracts import columns as c
from contracts.errors import BadId, BadMapping, SchemaMismatch, UnknownOptOut, UnreadableInput
from contracts.ids import read_id
from contracts.opt_out_flags import checked
from contracts.schemas import INCOMING
from pipeline.ingestion.deskdrop import from_deskdrop
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.id_casts import is_placeholder
from pipeline.ingestion.import_report import ImportSummary
from pipeline.ingestion.landing_zone import items_of, read_items, store_batch
from pipeline.ingestion.movielens import from_movielens
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping
from pipeline.ingestion.readers import ImportRequest, Incoming, ReadTable, from_files, read_table, to_arrow


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
        subject_type, flag = checked(str(row[c.SUBJECT_TYPE]), str(row[c.FLAG]), quote=False)
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


SOURCES: dict[str, Callable[[ImportRequest], Incoming]] = {
    "files": from_files,
    "deskdrop": from_deskdrop,
    "movielens": from_movielens,
}
"""The reader of each layout; `files` is the contract's own."""


def convert(request: ImportRequest) -> Incoming:
    """The files as contract tables; nothing is stored. Raises `UnreadableInput`, `SchemaMismatch` and `BadMapping`."""
    if request.source not in SOURCES:
        raise UnreadableInput(f"unknown source {request.source!r}; use one of {', '.join(SOURCES)}")
    if request.mapping != NO_MAPPING and request.source != "files":
        raise BadMapping(f"the columns and actions of {request.source} are known; leave the mapping out, or --from")
    return SOURCES[request.source](request)


def import_files(
    request: ImportRequest,
    *,
    lake_root: str | Path,
    landed_at: datetime,
    opt_out_store: OptOutWriter | None = None,
    max_placeholder_share: float = 1.0,
    erasures: Erasures | None = None,
) -> ImportSummary:
    """Read every file, then store the opt-outs, then the tables: a file that is refused leaves the lake as it was.

    No row of the users that `erasures` names is stored; it is read after the opt-outs are stored. Raises
    `UnreadableInput`, `SchemaMismatch`, `BadMapping`, `BadId` and `UnknownOptOut`, each with one line that names the
    file and the remedy.
    """
    read = read_import(request, lake_root, max_placeholder_share)
    if read.opt_outs:
        _required(opt_out_store).load(read.opt_outs)
    incoming = read.incoming
    erased = _erased(erasures, incoming)
    batches = tuple(store_batch(table.table, table.frame, lake_root, landed_at, erased) for table in incoming.tables)
    return ImportSummary(
        request.source,
        incoming.rows_read,
        batches,
        incoming.dropped,
        read.warnings,
        read.notes,
        opt_outs=read.opt_outs,
        imported_at=landed_at,
    )


@dataclass(frozen=True)
class ReadImport:
    """The checked input of one import; `tables` includes the opt-outs."""

    incoming: Incoming
    opt_outs: tuple[OptOut, ...]
    tables: tuple[ReadTable, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about values that were lost or look wrong, of every file."""
        return tuple(warning for table in self.tables for warning in table.warnings)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how values were read, of every file and of the source."""
        return (*(note for table in self.tables for note in table.notes), *self.incoming.notes)


def read_import(request: ImportRequest, lake_root: str | Path, max_placeholder_share: float) -> ReadImport:
    """Read and check every file of an import into this lake; store nothing. Raises as `import_files` does."""
    opt_outs, opt_out_table = read_opt_outs(Path(request.opt_outs), request.mapping) if request.opt_outs else ((), None)
    incoming = convert(request) if request.tables else Incoming((), {})
    tables = (*incoming.tables, *([opt_out_table] if opt_out_table else []))
    check_import(tables, lake_root, request.mapping, max_placeholder_share)
    return ReadImport(incoming, opt_outs, tables)


def _erased(erasures: Erasures | None, incoming: Incoming) -> Collection[str]:
    """The erased users. Their own items lose the creator's name, so an opt-out of the creator moves to those items."""
    if erasures is None:
        return ()
    erased = erasures.erased()
    for frame in incoming.frames("items"):
        erasures.withhold(items_of(frame, erased))
    return erased


def write_tables(incoming: Incoming, folder: str | Path) -> list[Path]:
    """Write the tables as `<folder>/<table>.parquet` with the contract's columns, as for the bundled data."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [_write(incoming.frames(table), table, Path(folder)) for table in incoming.rows_read]


def _write(frames: Iterable[pl.DataFrame], table: str, folder: Path) -> Path:
    path = folder / f"{table}.parquet"
    pq.write_table(to_arrow(pl.concat(frames), INCOMING[table]), path, compression="zstd", compression_level=19)
    return path


def _required(store: OptOutWriter | None) -> OptOutWriter:
    if store is None:
        raise UnreadableInput("opt-outs were handed in without a store to keep them; pass opt_out_store")
    return store


def check_import(
    tables: Sequence[ReadTable], lake_root: str | Path, mapping: NameMapping, max_placeholder_share: float
) -> None:
    """Raise `BadMapping`, `UnreadableInput` or `SchemaMismatch` for files that must not be stored in this lake."""
    check_mapping(tables, mapping)
    for column in (c.USER_ID, c.ITEM_ID):
        check_placeholders([read for read in tables if read.table == "events"], column, max_placeholder_share)
    check_embeddings([read for read in tables if read.table == "items"], lake_root)


def check_mapping(tables: Sequence[ReadTable], mapping: NameMapping) -> None:
    """Check that each mapped name occurs in at least one of the files."""
    columns = {column for read in tables for column in read.columns}
    actions = {action for read in tables for action in read.actions}
    for kind, pairs, present in (("column", mapping.columns, columns), ("action", mapping.actions, actions)):
        absent = [theirs for theirs, _ in pairs if theirs not in present]
        if absent:
            raise BadMapping(
                f"no file has the {kind}{'s' * (len(absent) > 1)} {', '.join(absent)}; correct the mapping, "
                "or leave that part out"
            )


def check_placeholders(events: Sequence[ReadTable], column: str, max_share: float) -> None:
    """Check that no placeholder of a missing id is in more than `max_share` of the events."""
    rows = sum(len(read.frame) for read in events)
    ids = pl.concat([read.frame[column] for read in events]) if events else pl.Series([], dtype=pl.String)
    for value, count in ids.filter(is_placeholder(ids)).value_counts(sort=True).head(1).rows():
        if count > max_share * rows:
            raise UnreadableInput(
                f"{events[0].source}: {count:,} of {rows:,} events have the {column} {value}, which stands for a "
                "missing value; leave such events out or give them ids, or raise TASTEFEED_MAX_PLACEHOLDER_SHARE "
                f"({max_share:g})"
            )


def check_embeddings(items: Sequence[ReadTable], lake_root: str | Path) -> None:
    """Check that the catalogue after this import has embeddings of one length."""
    for read in items:
        new = _lengths(read.frame)
        if new.is_empty():
            continue
        others = _lengths(read_items(lake_root)).join(new, on=c.ITEM_ID, how="anti")
        length, different = new["length"][0], others.filter(pl.col("length") != new["length"][0])
        if len(different):
            raise SchemaMismatch(
                f"{read.source}: {c.EMBEDDING}: vectors have length {length}, those of {len(different):,} items in the "
                f"lake have length {different['length'][0]}; use the same model, or import every item again in one file"
            )


def _lengths(items: pl.DataFrame) -> pl.DataFrame:
    """`item_id, length` of the items that have an embedding."""
    return items.select(c.ITEM_ID, pl.col(c.EMBEDDING).list.len().alias("length")).drop_nulls()
