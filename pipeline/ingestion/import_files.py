"""Files into the landing zone: read, checked against the contract, landed once.

`import_files` is what `tastefeed import` calls; `convert` stops before landing. What lands is whole and has the
contract's columns and types, and no more is promised: rows that break the contract are for the night to refuse, with a
reason each. Nothing here needs Spark.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from contracts import OptOut
from contracts.errors import BadMapping, UnreadableInput
from contracts.schemas import INCOMING
from pipeline.ingestion.deskdrop import from_deskdrop
from pipeline.ingestion.import_checks import check_import
from pipeline.ingestion.incoming import Incoming, Paths, from_files
from pipeline.ingestion.landing_zone import items_of, land
from pipeline.ingestion.movielens import from_movielens
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping
from pipeline.ingestion.opt_out_file import Erasures, OptOutWriter, read_opt_outs
from pipeline.ingestion.readers import ReadTable, to_arrow
from pipeline.ingestion.summary import ImportSummary

SOURCES: dict[str, Callable[[Paths], Incoming]] = {
    "files": from_files,
    "deskdrop": from_deskdrop,
    "movielens": from_movielens,
}
"""Whose layout the files have; `files` is the contract's own."""

Named = str | Path


def convert(
    source: str,
    *,
    events: Sequence[Named] = (),
    items: Named | None = None,
    users: Named | None = None,
    mapping: NameMapping = NO_MAPPING,
) -> Incoming:
    """The files as contract tables, nothing landed. Raises `UnreadableInput`, `SchemaMismatch` and `BadMapping`."""
    if source not in SOURCES:
        raise UnreadableInput(f"unknown source {source!r}; use one of {', '.join(SOURCES)}")
    if mapping != NO_MAPPING and source != "files":
        raise BadMapping(f"the columns and actions of {source} are known; leave the mapping out, or --from")
    of_items, of_users = (Path(path) if path else None for path in (items, users))
    paths = Paths(tuple(map(Path, events)), of_items, of_users, mapping=mapping)
    return SOURCES[source](paths)


def import_files(
    source: str = "files",
    *,
    events: Sequence[Named] = (),
    items: Named | None = None,
    users: Named | None = None,
    opt_outs: Named | None = None,
    lake_root: Named,
    landed_at: datetime,
    opt_out_store: OptOutWriter | None = None,
    mapping: NameMapping = NO_MAPPING,
    max_placeholder_share: float = 1.0,
    erasures: Erasures | None = None,
) -> ImportSummary:
    """Read everything, then keep the opt-outs, then land the rest: a file that is refused leaves the lake as it was.

    Nothing lands of those whom `erasures` names, asked after the opt-outs are kept. Raises `UnreadableInput`,
    `SchemaMismatch`, `BadMapping`, `BadId` and `UnknownOptOut`, each with one line that names file and remedy.
    """
    read = read_import(
        source,
        events=events,
        items=items,
        users=users,
        opt_outs=opt_outs,
        lake_root=lake_root,
        mapping=mapping,
        max_placeholder_share=max_placeholder_share,
    )
    if read.opt_outs:
        _store(opt_out_store).load(read.opt_outs)
    incoming = read.incoming
    gone = _erased(erasures, incoming)
    batches = tuple(land(table.table, table.frame, lake_root, landed_at, gone) for table in incoming.tables)
    return ImportSummary(
        source,
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
    """Everything that one import read and found fit to land; `tables` has the opt-outs as well."""

    incoming: Incoming
    opt_outs: tuple[OptOut, ...]
    tables: tuple[ReadTable, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was lost or looks wrong, of every file."""
        return tuple(warning for table in self.tables for warning in table.warnings)

    @property
    def notes(self) -> tuple[str, ...]:
        """How something was read, of every file and of the importer."""
        return (*(note for table in self.tables for note in table.notes), *self.incoming.notes)


def read_import(
    source: str,
    *,
    events: Sequence[Named],
    items: Named | None,
    users: Named | None,
    opt_outs: Named | None,
    lake_root: Named,
    mapping: NameMapping,
    max_placeholder_share: float,
) -> ReadImport:
    """Read and check every file of an import into this lake, and keep nothing. Raises as `import_files` does."""
    said, of_opt_outs = read_opt_outs(Path(opt_outs), mapping) if opt_outs else ((), None)
    incoming = (
        convert(source, events=events, items=items, users=users, mapping=mapping)
        if events or items or users
        else Incoming((), {})
    )
    tables = (*incoming.tables, *([of_opt_outs] if of_opt_outs else []))
    check_import(tables, lake_root, mapping, max_placeholder_share)
    return ReadImport(incoming, said, tables)


def _erased(erasures: Erasures | None, incoming: Incoming) -> Collection[str]:
    """The erased users. Items that they created, and that are about to lose their name, stay withheld if they were."""
    if erasures is None:
        return ()
    gone = erasures.erased()
    for frame in incoming.frames("items"):
        erasures.withhold(items_of(frame, gone))
    return gone


def write_tables(incoming: Incoming, folder: Named) -> list[Path]:
    """Write the tables as `<folder>/<table>.parquet` with the contract's columns: how bundled data is made."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [_write(incoming.frames(table), table, Path(folder)) for table in incoming.rows_read]


def _write(frames: Iterable[pl.DataFrame], table: str, folder: Path) -> Path:
    path = folder / f"{table}.parquet"
    pq.write_table(to_arrow(pl.concat(frames), INCOMING[table]), path, compression="zstd", compression_level=19)
    return path


def _store(store: OptOutWriter | None) -> OptOutWriter:
    if store is None:
        raise UnreadableInput("opt-outs were handed in without a store to keep them; pass opt_out_store")
    return store
