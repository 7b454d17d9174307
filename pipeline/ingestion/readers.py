"""Read an input file as one of the contract's tables, and the tables of one import together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from contracts import Reason
from contracts import columns as c
from contracts.errors import SchemaMismatch, UnreadableInput
from contracts.schemas import INCOMING, REQUIRED
from pipeline.ingestion.casts import kind_of
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.import_report import header_of, lost_values, most_frequent, notes_of, warnings_of
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping, actions_of, mapped, renames

__all__ = ["ReadTable", "conform", "read_table", "to_arrow"]

MAY_BE_EMPTY = ("opt_outs",)
"""Tables without rows are a failed export, except this one: there may be no opt-outs."""


@dataclass(frozen=True)
class ReadTable:
    """A file's rows with exactly the contract's columns, and warnings and notes about the file.

    `warnings` report what was lost or looks wrong, `notes` how something was read. `columns` and `actions` are the
    file's own names, `actions` only where they are mapped; `used` is the file's name of each contract column it has.
    """

    table: str
    frame: pl.DataFrame
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    columns: tuple[str, ...] = ()
    actions: frozenset[str] = frozenset()
    used: dict[str, str] = field(default_factory=dict)


def read_table(path: Path, table: str, mapping: NameMapping = NO_MAPPING) -> ReadTable:
    """The file as a contract table. Raises `UnreadableInput` and `SchemaMismatch`, each naming the file."""
    raw = read_file(path, known={*INCOMING[table].names, *mapping.their_columns})
    if raw.is_empty() and table not in MAY_BE_EMPTY:
        raise UnreadableInput(f"{path}: has columns but no rows; export it again")
    read = conform(mapped(raw, table, mapping, str(path)), table, str(path))
    theirs = {ours: theirs for theirs, ours in renames(raw.columns, table, mapping)}
    used = {ours: theirs.get(ours, ours) for ours in read.used}
    return replace(read, columns=tuple(raw.columns), actions=actions_of(raw, table, mapping), used=used)


def conform(raw: pl.DataFrame, table: str, source: str) -> ReadTable:
    """`raw` with the contract's columns and types, absent optional columns null, unknown ones dropped and named.

    Raises `SchemaMismatch` for a missing required column, for a type that the contract cannot take, and for a column
    without any readable value.
    """
    schema = INCOMING[table]
    _check_required(raw, table, source)
    frame = raw.select(_cast(raw, field, source) for field in schema)
    lost = {field.name: _lost(raw, frame, field, source) for field in schema if field.name in raw.columns}
    if table == "items":
        _check_one_length(frame, source)
    warnings = (f"{source}: {warning}" for warning in warnings_of(raw, frame, table, lost))
    notes = (f"{source}: {note}" for note in notes_of(raw, frame))
    used = {name: name for name in schema.names if name in raw.columns}
    return ReadTable(table, frame, tuple(warnings), tuple(notes), source, tuple(raw.columns), used=used)


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame with exactly the contract's Arrow types (polars has large strings, which Spark and others lack)."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def _check_required(raw: pl.DataFrame, table: str, source: str) -> None:
    missing = [column for column in REQUIRED[table] if column not in raw.columns]
    if missing:
        raise SchemaMismatch(
            f"{source}: {table} lack the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"the file has {header_of(raw.columns)}; give other names with --map theirs={missing[0]}"
        )


def _cast(raw: pl.DataFrame, field: pa.Field, source: str) -> pl.Expr:
    kind, dtype = kind_of(field), _polars_type(field)
    if field.name not in raw.columns or _is_absent(raw[field.name]):
        return pl.lit(None, dtype=dtype).alias(field.name)
    value = kind.cast(field.name, raw.schema[field.name])
    if value is None:
        have = f"want {kind.want}, have {raw.schema[field.name]}"
        raise SchemaMismatch(f"{source}: {field.name}: {have}; export it as such, or leave it out")
    return value.cast(dtype).alias(field.name)


def _is_absent(values: pl.Series) -> bool:
    """Whether a column has no value at all; pandas writes such a column as NaN."""
    return values.dtype == pl.Null or (values.dtype.is_float() and values.fill_nan(None).null_count() == len(values))


def _polars_type(field: pa.Field) -> pl.DataType:
    return pl.Schema(pa.schema([field]))[field.name]


def _lost(raw: pl.DataFrame, frame: pl.DataFrame, field: pa.Field, source: str) -> pl.DataFrame:
    """The values that could not be read, as `value, reason`. Raises `SchemaMismatch` where no value could be read."""
    kind, given, read = kind_of(field), raw[field.name], frame[field.name]
    lost = lost_values(given, read, kind)
    if len(lost) and read.null_count() == len(read):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in most_frequent(lost["reason"], len(lost)))
        raise SchemaMismatch(
            f"{source}: {field.name}: want {kind.want}, have {given.dtype} of which no value reads as such: {reasons}"
        )
    return lost


def _check_one_length(frame: pl.DataFrame, source: str) -> None:
    lengths = frame[c.EMBEDDING].list.len().drop_nulls().unique().sort().to_list()
    if len(lengths) > 1:
        raise SchemaMismatch(
            f"{source}: {c.EMBEDDING}: want vectors of one length, have lengths {lengths[:5]}; "
            "export the vectors of one model"
        )


@dataclass(frozen=True)
class ImportRequest:
    """The files of one import, whose layout they have, and other names of columns or actions."""

    source: str = "files"
    events: Sequence[str | Path] = ()
    items: str | Path | None = None
    users: str | Path | None = None
    opt_outs: str | Path | None = None
    mapping: NameMapping = NO_MAPPING

    @property
    def tables(self) -> list[tuple[str, Path]]:
        """Each named file of the landing zone's tables, the events last."""
        named = [("items", self.items), ("users", self.users), *(("events", path) for path in self.events)]
        return [(table, Path(path)) for table, path in named if path]


@dataclass(frozen=True)
class Incoming:
    """Contract tables in the order read: one entry per file, each stored as one batch.

    `dropped` counts the rows that the import left out, by reason; `notes` state what it derived or chose.
    """

    tables: tuple[ReadTable, ...]
    rows_read: Mapping[str, int]
    dropped: Mapping[Reason, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def frames(self, table: str) -> list[pl.DataFrame]:
        """The frames of one table."""
        return [read.frame for read in self.tables if read.table == table]


def from_files(request: ImportRequest) -> Incoming:
    """Files that have the contract's layout. Raises `UnreadableInput` and `SchemaMismatch`."""
    tables = tuple(read_table(path, table, request.mapping) for table, path in request.tables)
    return Incoming(tables, count_rows(tables))


def count_rows(tables: tuple[ReadTable, ...]) -> dict[str, int]:
    """The number of rows of each table."""
    names = [table for table in INCOMING if any(read.table == table for read in tables)]
    return {name: sum(len(read.frame) for read in tables if read.table == name) for name in names}


def require_columns(raw: pl.DataFrame, columns: Sequence[str], path: Path, source: str) -> None:
    """Raise `SchemaMismatch` where a table of a public data set lacks a column."""
    missing = [column for column in columns if column not in raw.columns]
    if missing:
        have = header_of(raw.columns, known=columns)
        raise SchemaMismatch(f"{path}: no {source} table, it lacks {', '.join(missing)}; have {have}")


def in_folder(request: ImportRequest, names: Mapping[str, str]) -> dict[str, Path]:
    """The files of a data set: `events` is its folder or its events file, `names` the file of each table.

    Tables that the request does not name lie beside the events; those that do not exist are left out. Raises
    `UnreadableInput` for another number of events, and for a table that the data set does not have.
    """
    if len(request.events) != 1:
        raise UnreadableInput(
            f"{request.source}: want one --events (its folder or its events file), have {len(request.events)}"
        )
    for table, path in request.tables:
        if table not in names:
            raise UnreadableInput(
                f"{path}: {request.source} is read from {' and '.join(names.values())}, without a file of {table}; "
                f"leave --{table} out"
            )
    given = Path(request.events[0])
    folder = given if given.is_dir() else given.parent
    files = {table: folder / name for table, name in names.items() if (folder / name).exists()}
    return files | {table: path for table, path in request.tables if path != given or not given.is_dir()}
