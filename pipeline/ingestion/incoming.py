"""What one import read, before any of it lands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from contracts import Reason
from contracts.errors import UnreadableInput
from contracts.schemas import INCOMING
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping
from pipeline.ingestion.readers import ReadTable, read_table


@dataclass(frozen=True)
class Paths:
    """What the command line named."""

    events: tuple[Path, ...] = ()
    items: Path | None = None
    users: Path | None = None
    opt_outs: Path | None = None
    mapping: NameMapping = NO_MAPPING


@dataclass(frozen=True)
class Incoming:
    """Contract tables, in the order read: one entry a file, each to become one landed batch.

    `dropped` counts what the importer itself left out, by reason; `notes` say what it made up or chose.
    """

    tables: tuple[ReadTable, ...]
    rows_read: Mapping[str, int]
    dropped: Mapping[Reason, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def frames(self, table: str) -> list[pl.DataFrame]:
        """The frames of one table."""
        return [read.frame for read in self.tables if read.table == table]


def from_files(paths: Paths) -> Incoming:
    """Files that already speak the contract. Raises `UnreadableInput` and `SchemaMismatch`."""
    named = [("items", paths.items), ("users", paths.users), *(("events", path) for path in paths.events)]
    tables = tuple(read_table(path, table, paths.mapping) for table, path in named if path)
    return Incoming(tables, count_rows(tables))


def count_rows(tables: tuple[ReadTable, ...]) -> dict[str, int]:
    """Rows of each table that is there."""
    names = [table for table in INCOMING if any(read.table == table for read in tables)]
    return {name: sum(len(read.frame) for read in tables if read.table == name) for name in names}


def in_folder(paths: Paths, source: str, names: Mapping[str, str]) -> dict[str, Path]:
    """The files of a data set: `paths.events` is its folder or its events file, `names` the file of each table.

    Tables not named on the command line lie beside the events; those that do not exist are left out.
    """
    if len(paths.events) != 1:
        raise UnreadableInput(f"{source}: want one --events (its folder or its events file), have {len(paths.events)}")
    given = paths.events[0]
    folder = given if given.is_dir() else given.parent
    found = {table: folder / name for table, name in names.items() if (folder / name).exists()}
    explicit = {"events": None if given.is_dir() else given, "items": paths.items, "users": paths.users}
    return found | {table: path for table, path in explicit.items() if path}
