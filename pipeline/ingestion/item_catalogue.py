"""The catalogue that a night reads: the ingested items, or the items that the ingested events name."""

from typing import TYPE_CHECKING

import polars as pl

from contracts import Flag, OptOutReader, SubjectType
from contracts import columns as c
from contracts.ids import WRITTEN_AS_FLOAT
from contracts.opt_out_flags import UNREADABLE, opted_out
from contracts.schemas import ITEMS
from pipeline.ingestion.landing_zone import ingested_files, read_items, usable_events
from pipeline.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def catalogue(home: Lake, opt_outs: OptOutReader) -> pl.DataFrame:
    """The items by id. The name of a creator whose data must not be read is removed."""
    return without_opted_out_creators(known_items(home, opt_outs), opt_outs)


def read_catalogue(spark: "SparkSession", home: Lake, opt_outs: OptOutReader) -> "DataFrame":
    """The catalogue as a Spark frame."""
    return spark.createDataFrame(catalogue(home, opt_outs).to_arrow())


def known_items(home: Lake, opt_outs: OptOutReader) -> pl.DataFrame:
    """The ingested items by id; without an items table, the items that the events name."""
    if ingested_files(home.url, "items"):
        return read_items(home.url)
    return items_of_events(home, opt_outs)


def without_opted_out_creators(items: pl.DataFrame, opt_outs: OptOutReader) -> pl.DataFrame:
    """The items, row for row, without the names of creators whose data, as users, must not be read."""
    creator, unnamed = pl.col(c.CREATOR_ID), opted_out(opt_outs, SubjectType.USER, UNREADABLE)
    return items.with_columns(pl.when(~creator.is_in(list(unnamed))).then(creator).alias(c.CREATOR_ID))


def items_of_events(home: Lake, opt_outs: OptOutReader) -> pl.DataFrame:
    """One row an item that a usable event names, by id; columns of `schemas.ITEMS`, of which only two have values.

    `created_at` is the item's first event. Then a past cutoff has exactly the items that had been seen by then, and
    nothing of the future leaks into it. Fresh candidates are those that were first seen most recently. With a null, a
    past cutoff would have every later item, and nothing would be fresh. Events of users who opted out of
    personalization or were erased add no item; those of users who opted out of training date none.
    """
    unread = list(opted_out(opt_outs, SubjectType.USER, UNREADABLE))
    untrained = list(opted_out(opt_outs, SubjectType.USER, (*UNREADABLE, Flag.TRAINING)))
    first_seen = pl.col(c.TIMESTAMP).filter(~pl.col(c.USER_ID).is_in(untrained)).min()
    read = usable_events(home).filter(~pl.col(c.USER_ID).is_in(unread))
    items = one_spelling(read.group_by(c.ITEM_ID).agg(first_seen.alias(c.CREATED_AT)).collect())
    absent = pl.DataFrame(schema=pl.Schema(ITEMS))
    return pl.concat([absent, items], how="diagonal").select(ITEMS.names).sort(c.ITEM_ID)


def one_spelling(items: pl.DataFrame) -> pl.DataFrame:
    """Items of which `7` and `7.0` were both named, as `7` alone."""
    short = pl.when(pl.col(c.ITEM_ID).str.contains(WRITTEN_AS_FLOAT)).then(pl.col(c.ITEM_ID).str.strip_suffix(".0"))
    return items.group_by(short.fill_null(pl.col(c.ITEM_ID)).alias(c.ITEM_ID)).agg(pl.col(c.CREATED_AT).min())
