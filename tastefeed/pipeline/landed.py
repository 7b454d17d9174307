"""The landing zone as the night reads it."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from tastefeed.contracts import OptOutReader, SubjectType
from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import UnreadableInput
from tastefeed.contracts.opt_outs import UNREADABLE
from tastefeed.pipeline.importers import landed_files, landed_items
from tastefeed.pipeline.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CLOCK_SKEW = timedelta(days=1)
"""How far a sender's clock may run ahead before an event counts as from the future."""


def latest_timestamp(home: Lake) -> datetime:
    """When the last landed event happened that is not from the future. Raises `UnreadableInput` where there is none."""
    files = event_files(home)
    known = pl.scan_parquet([home.address(file) for file in files]).filter(
        pl.col(c.TIMESTAMP) <= pl.col(c.LANDED_AT) + CLOCK_SKEW
    )
    latest = known.select(pl.col(c.TIMESTAMP).max()).collect().item()
    if latest is None:
        raise UnreadableInput(f"{home.url}: no landed event has a usable timestamp; import events that have one")
    moment: datetime = latest
    return moment


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
    """The landed items by id. A creator of whom nothing may be read, as a user, is no longer named."""
    unnamed = opt_outs.subjects(SubjectType.USER, UNREADABLE)
    creator = pl.col(c.CREATOR_ID)
    items = landed_items(home.url).sort(c.ITEM_ID)
    return items.with_columns(pl.when(~creator.is_in(list(unnamed))).then(creator).alias(c.CREATOR_ID))


def read_landed_items(spark: "SparkSession", home: Lake, opt_outs: OptOutReader) -> "DataFrame":
    """The catalogue as a Spark frame."""
    return spark.createDataFrame(catalogue(home, opt_outs).to_arrow())
