"""A file as one of the contract's tables: `read_table` is the door of everything that is not a known data set."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import SchemaMismatch, UnreadableInput
from tastefeed.contracts.schemas import INCOMING, REQUIRED
from tastefeed.pipeline.importers.casts import CASTS
from tastefeed.pipeline.importers.files import read_file

MAY_BE_EMPTY = ("opt_outs",)
"""Tables without rows are a failed export, except this one: it may be that nobody has opted out."""


KEYS = {"items": c.ITEM_ID, "users": c.USER_ID}
"""What a row of these tables is known by."""


@dataclass(frozen=True)
class ReadTable:
    """A file's rows with exactly the contract's columns, and what a person should know about the file."""

    table: str
    frame: pl.DataFrame
    warnings: tuple[str, ...] = ()


def read_table(path: Path, table: str) -> ReadTable:
    """The file as a contract table. Raises `UnreadableInput` and `SchemaMismatch`, each naming the file."""
    raw = read_file(path)
    if raw.is_empty() and table not in MAY_BE_EMPTY:
        raise UnreadableInput(f"{path}: has columns but no rows; export it again")
    return conform(raw, table, str(path))


def conform(raw: pl.DataFrame, table: str, source: str) -> ReadTable:
    """`raw` with the contract's columns and types, absent optional columns null, unknown ones left out and named.

    Raises `SchemaMismatch` for a missing required column, a type that cannot be what the contract wants, and a column
    of which no value at all can be read.
    """
    schema = INCOMING[table]
    _check_required(raw, table, source)
    frame = raw.select(_cast(raw, field, source) for field in schema)
    lost = {field.name: _lost(raw, frame, field, source) for field in schema if field.name in raw.columns}
    if table == "items":
        _check_one_length(frame, source)
    warnings = [*_unknown(raw, schema, source), *_unreadable(lost, source), *_unusable(frame, table, source)]
    return ReadTable(table, frame, tuple(warnings))


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame with exactly the contract's Arrow types (polars has large strings, which Spark and others lack)."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def _check_required(raw: pl.DataFrame, table: str, source: str) -> None:
    missing = [column for column in REQUIRED[table] if column not in raw.columns]
    if missing:
        raise SchemaMismatch(
            f"{source}: {table} lack the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"the file has {names_of(raw.columns)}"
        )


def names_of(columns: list[str]) -> str:
    """The columns that look like names; the others are values of a file without a header, and may be ids."""
    names = [column for column in columns if column.isidentifier()]
    rest = f"{len(columns) - len(names)} that are no names (has it a header line?)" if len(names) < len(columns) else ""
    return ", ".join([*names, rest] if rest else names)


def _cast(raw: pl.DataFrame, field: pa.Field, source: str) -> pl.Expr:
    want, cast = CASTS[field.type]
    absent = pl.lit(None, dtype=_polars_type(field)).alias(field.name)
    if field.name not in raw.columns or raw.schema[field.name] == pl.Null:
        return absent
    value = cast(field.name, raw.schema[field.name])
    if value is None:
        raise SchemaMismatch(f"{source}: {field.name}: want {want}, have {raw.schema[field.name]}")
    return value.cast(_polars_type(field)).alias(field.name)


def _polars_type(field: pa.Field) -> pl.DataType:
    return pl.Schema(pa.schema([field]))[field.name]


def _lost(raw: pl.DataFrame, frame: pl.DataFrame, field: pa.Field, source: str) -> int:
    """How many values could not be read."""
    given, read = raw[field.name], frame[field.name]
    if given.dtype == pl.String:
        given = given.str.strip_chars().replace("", None)
    lost = (given.is_not_null() & read.is_null()).sum()
    if lost and read.null_count() == len(read):
        want, _ = CASTS[field.type]
        raise SchemaMismatch(f"{source}: {field.name}: want {want}, have {given.dtype} of which no value reads as such")
    return int(lost)


def _check_one_length(frame: pl.DataFrame, source: str) -> None:
    lengths = frame[c.EMBEDDING].list.len().drop_nulls().unique().sort().to_list()
    if len(lengths) > 1:
        raise SchemaMismatch(f"{source}: {c.EMBEDDING}: want vectors of one length, have lengths {lengths[:5]}")


def _unknown(raw: pl.DataFrame, schema: pa.Schema, source: str) -> list[str]:
    unknown = [column for column in raw.columns if column not in schema.names]
    return [f"{source}: unknown columns left out: {names_of(unknown)}"] if unknown else []


def _unreadable(lost: dict[str, int], source: str) -> list[str]:
    return [
        f"{source}: {column}: {count:,} values cannot be read and count as null"
        for column, count in lost.items()
        if count
    ]


def _unusable(frame: pl.DataFrame, table: str, source: str) -> list[str]:
    """Rows of items and users that nobody will see; those of events go to quarantine with a reason instead."""
    if table not in KEYS:
        return []
    ids = frame[KEYS[table]]
    nameless, repeated = ids.null_count(), len(ids.drop_nulls()) - ids.drop_nulls().n_unique()
    return [
        *([f"{source}: {nameless:,} rows without {KEYS[table]} count for nothing"] if nameless else []),
        *([f"{source}: {repeated:,} rows repeat an {KEYS[table]}; the last row of each counts"] if repeated else []),
    ]
