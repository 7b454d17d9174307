"""Files into the landing zone: read, checked against the contract, landed once.

`import_files` is what `tastefeed import` calls; `convert` stops before landing. What lands is whole and has the
contract's columns and types, and no more is promised: rows that break the contract are for the night to refuse, with a
reason each. Nothing here needs Spark.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from tastefeed.contracts.errors import UnreadableInput
from tastefeed.contracts.schemas import INCOMING
from tastefeed.pipeline.importers.deskdrop import from_deskdrop
from tastefeed.pipeline.importers.incoming import Incoming, Paths, from_files
from tastefeed.pipeline.importers.landing import (
    Batch,
    erase,
    items_of,
    land,
    landed_creators,
    landed_files,
    landed_items,
    landed_schema,
    landed_users,
    unname_creators,
)
from tastefeed.pipeline.importers.movielens import from_movielens
from tastefeed.pipeline.importers.opt_outs import Erasures, OptOutWriter, read_opt_outs
from tastefeed.pipeline.importers.readers import to_arrow
from tastefeed.pipeline.importers.summary import ImportSummary

__all__ = [
    "SOURCES",
    "Batch",
    "ImportSummary",
    "Incoming",
    "OptOutWriter",
    "convert",
    "erase",
    "import_files",
    "land",
    "landed_creators",
    "landed_files",
    "landed_items",
    "landed_schema",
    "landed_users",
    "unname_creators",
    "write_tables",
]

SOURCES: dict[str, Callable[[Paths], Incoming]] = {
    "files": from_files,
    "deskdrop": from_deskdrop,
    "movielens": from_movielens,
}
"""Whose layout the files have; `files` is the contract's own."""

Named = str | Path


def convert(
    source: str, *, events: Sequence[Named] = (), items: Named | None = None, users: Named | None = None
) -> Incoming:
    """The files as contract tables, nothing landed. Raises `UnreadableInput` and `SchemaMismatch`."""
    if source not in SOURCES:
        raise UnreadableInput(f"unknown source {source!r}; use one of {', '.join(SOURCES)}")
    paths = Paths(tuple(map(Path, events)), Path(items) if items else None, Path(users) if users else None)
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
    erasures: Erasures | None = None,
) -> ImportSummary:
    """Read everything, then keep the opt-outs, then land the rest: a file that is refused leaves the lake as it was.

    Nothing lands of those whom `erasures` names, asked after the opt-outs are kept. Raises `UnreadableInput`,
    `SchemaMismatch`, `BadId` and `UnknownOptOut`, each with one line that names file and remedy.
    """
    said, read = read_opt_outs(Path(opt_outs)) if opt_outs else ((), None)
    incoming = (
        convert(source, events=events, items=items, users=users) if events or items or users else Incoming((), {})
    )
    if said:
        _store(opt_out_store).load(said)
    gone = _erased(erasures, incoming)
    batches = tuple(land(read.table, read.frame, lake_root, landed_at, gone) for read in incoming.tables)
    warnings = [warning for table in (*incoming.tables, *([read] if read else [])) for warning in table.warnings]
    return ImportSummary(
        source,
        incoming.rows_read,
        batches,
        incoming.dropped,
        tuple(warnings),
        incoming.notes,
        opt_outs=said,
        imported_at=landed_at,
    )


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
