"""What an import as a whole must hold, before any of it lands."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from contracts import columns as c
from contracts.errors import BadMapping, SchemaMismatch, UnreadableInput
from pipeline.ingestion.id_casts import is_placeholder
from pipeline.ingestion.landing_zone import landed_items
from pipeline.ingestion.name_mapping import NameMapping
from pipeline.ingestion.readers import ReadTable


def check_import(
    tables: Sequence[ReadTable], lake_root: str | Path, mapping: NameMapping, max_placeholder_share: float
) -> None:
    """Raises `BadMapping`, `UnreadableInput` or `SchemaMismatch` for files that must not land in this lake."""
    check_mapping(tables, mapping)
    for column in (c.USER_ID, c.ITEM_ID):
        check_placeholders([read for read in tables if read.table == "events"], column, max_placeholder_share)
    check_embeddings([read for read in tables if read.table == "items"], lake_root)


def check_mapping(tables: Sequence[ReadTable], mapping: NameMapping) -> None:
    """Each name of theirs is in one of the files at least."""
    columns = {column for read in tables for column in read.columns}
    actions = {action for read in tables for action in read.actions}
    for kind, pairs, found in (("column", mapping.columns, columns), ("action", mapping.actions, actions)):
        absent = [theirs for theirs, _ in pairs if theirs not in found]
        if absent:
            raise BadMapping(
                f"no file has the {kind}{'s' * (len(absent) > 1)} {', '.join(absent)}; correct the mapping, "
                "or leave that part out"
            )


def check_placeholders(events: Sequence[ReadTable], column: str, max_share: float) -> None:
    """No id that stands for a missing value is in more than `max_share` of the events: they would all be one user."""
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
    """The catalogue after this import has embeddings of one length."""
    for read in items:
        new = _lengths(read.frame)
        if new.is_empty():
            continue
        kept = _lengths(landed_items(lake_root)).join(new, on=c.ITEM_ID, how="anti")
        length, other = new["length"][0], kept.filter(pl.col("length") != new["length"][0])
        if len(other):
            raise SchemaMismatch(
                f"{read.source}: {c.EMBEDDING}: vectors have length {length}, those of {len(other):,} items in the "
                f"lake have length {other['length'][0]}; use the same model, or import every item again in one file"
            )


def _lengths(items: pl.DataFrame) -> pl.DataFrame:
    """`item_id, length` of the items that have an embedding."""
    return items.select(c.ITEM_ID, pl.col(c.EMBEDDING).list.len().alias("length")).drop_nulls()
