"""The landing zone as the night reads it."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from contracts import Action, Flag, OptOutReader, SubjectType
from contracts import columns as c
from contracts.errors import UnreadableInput
from contracts.ids import BLANKS, WRITTEN_AS_FLOAT, spellings
from contracts.instants import CLOCK_SKEW, EARLIEST
from contracts.opt_out_flags import UNREADABLE
from contracts.schemas import ITEMS
from pipeline.ingestion.landing_zone import landed_files, landed_items, valid_id
from pipeline.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def latest_timestamp(home: Lake) -> datetime:
    """When the last usable event happened. Raises `UnreadableInput` where there is none."""
    latest = usable_events(home).select(pl.col(c.TIMESTAMP).max()).collect().item()
    if latest is None:
        raise UnreadableInput(
            f"{home.url}: no landed event is usable; import events that have a user, an item, one of the actions "
            f"{', '.join(Action)} and a time from 1990 to now"
        )
    moment: datetime = latest
    return moment


def usable_events(home: Lake) -> pl.LazyFrame:
    """The landed events that have nothing wrong on their own, as `features.events` checks it: ids stripped, a known
    action, and a time that is neither before 1990 nor in the future. Raises `UnreadableInput` on an empty landing zone.
    """
    landed = pl.scan_parquet([home.address(file) for file in event_files(home)])
    known = landed.with_columns(
        valid_id(c.USER_ID), valid_id(c.ITEM_ID), pl.col(c.ACTION).str.strip_chars(BLANKS)
    ).drop_nulls([c.USER_ID, c.ITEM_ID])
    in_time = pl.col(c.TIMESTAMP).is_between(EARLIEST, pl.col(c.LANDED_AT) + CLOCK_SKEW)
    return known.filter(pl.col(c.ACTION).is_in(list(map(str, Action))) & in_time)


def event_files(home: Lake) -> list[str]:
    """The landed event files. Raises `UnreadableInput` on an empty landing zone."""
    files = landed_files(home.url, "events")
    if not files:
        raise UnreadableInput(f"{home.url}: no events have landed; run `tastefeed import --events FILE` first")
    return files


def fingerprint(files: Sequence[str]) -> str:
    """What landed, in twelve letters: each file is named after its content."""
    return hashlib.sha256("\n".join(sorted(file.rsplit("/", 1)[-1] for file in files)).encode()).hexdigest()[:12]


def last_day(home: Lake) -> datetime:
    """The midnight that ends the last day with an event: the night that sees everything."""
    return last_midnight(home) + timedelta(days=1)


def last_midnight(home: Lake) -> datetime:
    """The last midnight that the events reach: what comes after it is a day cut short."""
    return latest_timestamp(home).replace(hour=0, minute=0, second=0, microsecond=0)


def read_landed_events(spark: "SparkSession", home: Lake) -> "DataFrame":
    """Every landed event, as it came."""
    return spark.read.parquet(*(home.address(file) for file in event_files(home)))


def catalogue(home: Lake, opt_outs: OptOutReader) -> pl.DataFrame:
    """The items by id. A creator of whom nothing may be read, as a user, is no longer named."""
    return without_opted_out_creators(known_items(home, opt_outs), opt_outs)


def known_items(home: Lake, opt_outs: OptOutReader) -> pl.DataFrame:
    """The landed items by id; where no items table has ever landed, the items that the landed events name."""
    if landed_files(home.url, "items"):
        return landed_items(home.url)
    return items_of_events(home, opt_outs)


def without_opted_out_creators(items: pl.DataFrame, opt_outs: OptOutReader) -> pl.DataFrame:
    """The items, row for row, with each creator of whom nothing may be read as a user no longer named."""
    creator, unnamed = pl.col(c.CREATOR_ID), opted_out(opt_outs, SubjectType.USER, UNREADABLE)
    return items.with_columns(pl.when(~creator.is_in(list(unnamed))).then(creator).alias(c.CREATOR_ID))


def items_of_events(home: Lake, opt_outs: OptOutReader) -> pl.DataFrame:
    """One row an item that a usable event names, by id; columns of `schemas.ITEMS`, of which only two are known.

    `created_at` is the item's first event: then a past cut knows exactly the items that had been seen by then, so that
    nothing of the future leaks into it, and fresh candidates are those seen first most recently. With a null, a past
    cut would know every later item, and nothing would be fresh. Events of users of whom nothing may be read name no
    item; those of users who opted out of training date none.
    """
    unread = list(opted_out(opt_outs, SubjectType.USER, UNREADABLE))
    untaught = list(opted_out(opt_outs, SubjectType.USER, (*UNREADABLE, Flag.TRAINING)))
    first_seen = pl.col(c.TIMESTAMP).filter(~pl.col(c.USER_ID).is_in(untaught)).min()
    read = usable_events(home).filter(~pl.col(c.USER_ID).is_in(unread))
    items = one_spelling(read.group_by(c.ITEM_ID).agg(first_seen.alias(c.CREATED_AT)).collect())
    absent = pl.DataFrame(schema=pl.Schema(ITEMS))
    return pl.concat([absent, items], how="diagonal").select(ITEMS.names).sort(c.ITEM_ID)


def one_spelling(items: pl.DataFrame) -> pl.DataFrame:
    """Items of which `7` and `7.0` were both named, as `7` alone."""
    short = pl.when(pl.col(c.ITEM_ID).str.contains(WRITTEN_AS_FLOAT)).then(pl.col(c.ITEM_ID).str.strip_suffix(".0"))
    return items.group_by(short.fill_null(pl.col(c.ITEM_ID)).alias(c.ITEM_ID)).agg(pl.col(c.CREATED_AT).min())


def opted_out(opt_outs: OptOutReader, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
    """The subjects that have a flag in force, in every spelling of their ids."""
    return frozenset(spelled for id_ in opt_outs.subjects(subject_type, flags) for spelled in spellings(id_))


def read_landed_items(spark: "SparkSession", home: Lake, opt_outs: OptOutReader) -> "DataFrame":
    """The catalogue as a Spark frame."""
    return spark.createDataFrame(catalogue(home, opt_outs).to_arrow())
