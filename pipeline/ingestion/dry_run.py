"""`tastefeed import --dry-run`: what would land and what the night would refuse of it. Nothing is kept."""

import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich.table import Table
from rich.text import Text

from contracts import Reason, Settings
from contracts import columns as c
from contracts.ids import CONTROL
from contracts.instants import CLOCK_SKEW
from contracts.schemas import INCOMING, ITEMS
from pipeline.console import console
from pipeline.ingestion import Incoming, NameMapping, land, landed_files, landed_items, read_import
from pipeline.ingestion.readers import ReadTable
from pipeline.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FIRST_ROWS = 5
LONGEST_SHOWN = 60


def preview_files(
    source: str | None,
    *,
    events: list[Path],
    items: Path | None,
    users: Path | None,
    opt_outs: Path | None,
    lake: str,
    mapping: NameMapping,
) -> None:
    """Print each file's columns and first rows as parsed, the warnings, and the night's reasons against the events.

    Raises what the import would raise. The rows are shown to the person whose files they are, with their ids.
    """
    read = read_import(
        source or "files",
        events=events,
        items=items,
        users=users,
        opt_outs=opt_outs,
        lake_root=Lake(lake).url,
        mapping=mapping,
        max_placeholder_share=Settings().max_placeholder_share,
    )
    for table in read.tables:
        _print_table(table)
    for kind, lines in (("warning", read.warnings), ("note", read.notes)):
        for line in lines:
            console.print(f"{kind}: {line}", markup=False)
    if frames := read.incoming.frames("events"):
        refused = refused_events(read.incoming, Lake(lake))
        total = sum(map(len, frames))
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in refused.items()) or "none"
        console.print(f"of {total:,} events the night would refuse {sum(refused.values()):,}: {reasons}")
    console.print("dry run: nothing was kept")


def refused_events(incoming: Incoming, home: Lake) -> dict[Reason, int]:
    """What the night's own check refuses of these events, beside what has landed. Opt-outs are not looked at.

    The catalogue is that of the lake and the import together; where neither has items, the events' own.
    """
    import features  # noqa: PLC0415  loads Spark, which the rest needs not

    now = datetime.now(UTC)
    spark = features.spark(Settings())
    with tempfile.TemporaryDirectory(prefix="tastefeed-") as folder:
        new = [land("events", frame, folder, now).path for frame in incoming.frames("events")]
        landed = [home.address(path) for path in landed_files(home.url, "events")]
        rows = spark.read.parquet(*new, *landed)
        checked = features.with_reason(
            rows, _items(spark, incoming, home), as_of=now + CLOCK_SKEW, opted_out_users=_nobody(spark)
        )
        of_import = checked.where(checked[c.LANDED_AT] == now)
        return features.quarantine_counts(features.split(of_import).quarantine)


def _items(spark: "SparkSession", incoming: Incoming, home: Lake) -> "DataFrame":
    items = pl.concat([landed_items(home.url), *incoming.frames("items")])
    if items.is_empty():
        ids = pl.concat([frame.select(c.ITEM_ID) for frame in incoming.frames("events")]).drop_nulls().unique()
        items = pl.concat([pl.DataFrame(schema=pl.Schema(ITEMS)), ids], how="diagonal")
    return spark.createDataFrame(items.to_arrow())


def _nobody(spark: "SparkSession") -> "DataFrame":
    return spark.createDataFrame([], f"{c.USER_ID} string")


def _print_table(read: ReadTable) -> None:
    used = [ours if theirs == ours else f"{ours} (from {theirs})" for ours, theirs in read.used.items()]
    unknown = [column for column in read.columns if column not in read.used.values()]
    absent = [column for column in INCOMING[read.table].names if column not in read.used]
    console.print(f"{read.table}: {len(read.frame):,} rows of {read.source}", markup=False)
    for kind, names in (("used", used), ("left out", unknown), ("absent", absent)):
        console.print(f"  columns {kind}: {', '.join(names) or 'none'}", markup=False)
    shown = Table(*read.used, title="first rows as parsed", title_justify="left")
    for row in read.frame.select(list(read.used)).head(FIRST_ROWS).rows():
        shown.add_row(*(Text(_shown(value)) for value in row))
    console.print(shown)


def _shown(value: object) -> str:
    if value is None:
        return "(none)"
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    text = re.sub(CONTROL, "?", text)  # a title may hold what a terminal obeys
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
