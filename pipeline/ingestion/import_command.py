"""`tastefeed import` and its dry run: import the files, then print how many events the next night will quarantine."""

import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
from rich.table import Table
from rich.text import Text

from contracts import Action, Reason, Settings
from contracts import columns as c
from contracts.atomic_files import require_fillable
from contracts.errors import UnreadableInput
from contracts.ids import CONTROL
from contracts.instants import CLOCK_SKEW
from contracts.schemas import INCOMING, ITEMS
from pipeline.as_of_day import end_of_last_day, events_per_day, outlier_in
from pipeline.console import console
from pipeline.ingestion import (
    ImportRequest,
    ImportSummary,
    Incoming,
    import_files,
    ingested_files,
    read_import,
    read_items,
    store_batch,
)
from pipeline.ingestion.landing_zone import read_event_files, usable_events
from pipeline.ingestion.readers import ReadTable
from pipeline.lake import Lake
from pipeline.privacy.opt_out_lake import OptOutLake
from pipeline.stage_progress import StageProgress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from pipeline.stages.events import Checked

REMEDIES = {
    Reason.NULL_ID: "give a user_id and an item_id of 1 to 512 characters in each row",
    Reason.UNKNOWN_ACTION: f"the actions are {', '.join(Action)}; rename yours with --action theirs=ours",
    Reason.BAD_TIMESTAMP: "give timestamps as ISO 8601 or Unix time",
    Reason.BEFORE_1990: "give timestamps of 1990 or later",
    Reason.IN_THE_FUTURE: "give timestamps in UTC that are not in the future",
    Reason.UNKNOWN_ITEM: "import the items that the events name with --items",
}
"""The remedy where every event is quarantined, by the most frequent reason."""


def import_and_report(request: ImportRequest, lake: str) -> ImportSummary:
    """Import the files and print the summary; where events or items are new, also how many events the next night will
    quarantine.

    Raises `OSError` where the lake cannot be written to, before a file is read.
    """
    home, opt_outs, landed_at = Lake(lake), OptOutLake.of(lake), datetime.now(UTC)
    if not home.remote:
        require_fillable(home.folder)
    progress = StageProgress()
    with progress.shown("import"):
        summary = import_files(
            request,
            lake_root=home.url,
            landed_at=landed_at,
            opt_out_store=opt_outs,
            max_placeholder_share=Settings().max_placeholder_share,
            erasures=opt_outs,
        )
    for line in summary.lines():
        console.print(line, markup=False)
    new = [batch.path for batch in summary.batches if batch.table == "events" and batch.is_new]
    if new or (_has_new_items(summary) and _has_usable_events(home)):
        _check_events(home, landed_at, new, progress)
    return summary


def _has_new_items(summary: ImportSummary) -> bool:
    return any(batch.table == "items" and batch.is_new for batch in summary.batches)


def _has_usable_events(home: Lake) -> bool:
    return bool(ingested_files(home.url, "events")) and not usable_events(home).head(1).collect().is_empty()


def _check_events(home: Lake, landed_at: datetime, new: Sequence[str], progress: StageProgress) -> None:
    with progress.shown("check of events"):
        report_refusals(home, landed_at, new)
        warn_of_outlier(home)
        warn_of_shortage(home)
    console.print(f"next: tastefeed nightly --lake {shlex.quote(home.url)}", markup=False)


def warn_of_outlier(home: Lake) -> None:
    """Warn of an outlier day, which would stop the next night."""
    settings = Settings(lake=home.url)
    if outlier := outlier_in(events_per_day(home, settings), settings):
        console.print(f"warning: {outlier.message()}")


def warn_of_shortage(home: Lake) -> None:
    """Warn where the lake has too little data for models; the next night then publishes a list without them."""
    from pipeline.run_context import open_run_context  # noqa: PLC0415  loads torch and Spark, as the night does
    from pipeline.training_data import announced  # noqa: PLC0415  see above

    if sentence := announced(open_run_context(home.url, day_to_check(home))):
        console.print(f"warning: {sentence}", markup=False)


def report_refusals(home: Lake, landed_at: datetime, new: Sequence[str]) -> None:
    """Run the night's validation of the landing zone and print the counts.

    `new` are the event files that this import ingested, at `landed_at`. Raises `UnreadableInput` where the night would
    refuse each of their rows; the files are then removed again.
    """
    import features  # noqa: PLC0415  loads Spark, which reading does not need
    from pipeline.run_context import open_run_context  # noqa: PLC0415  loads torch, see above
    from pipeline.stages.events import checked_events, named  # noqa: PLC0415  see above

    checked = checked_events(open_run_context(home.url, day_to_check(home)))
    console.print(checked.text())
    limit = Settings().max_bad_share
    if checked.bad.share > limit:
        console.print(
            f"warning: {checked.bad.share:.0%} of the events are broken, and the next night stops above {limit:.0%} "
            f"(TASTEFEED_MAX_BAD_SHARE); {features.remedy(checked.bad, checked.counts)}"
        )
    reasons = _all_refused(checked, landed_at)
    if reasons:
        for path in new:
            home.fs.rm(path)
        most = max(reasons, key=lambda reason: reasons[reason])
        raise UnreadableInput(
            f"every event of this import would be refused by the night ({named(reasons)}), so none was kept in the "
            f"lake; {REMEDIES[most]}"
        )


def day_to_check(home: Lake) -> date:
    """The day whose night uses every usable event; where no event is usable, tomorrow."""
    try:
        return end_of_last_day(home).date()
    except UnreadableInput:
        return (datetime.now(UTC) + timedelta(days=1)).date()


def _all_refused(checked: "Checked", landed_at: datetime) -> dict[Reason, int]:
    """Counts by reason of the rows imported at `landed_at`; empty where a row is valid or was imported before."""
    rows = checked.rows.where(checked.rows[c.LANDED_AT] == landed_at).groupBy(c.REASON).count().collect()
    counts = {row[c.REASON]: int(row["count"]) for row in rows}
    return {Reason(reason): count for reason, count in counts.items()} if counts.keys() <= REMEDIES.keys() else {}


FIRST_ROWS = 5
LONGEST_SHOWN = 60


def preview_files(request: ImportRequest, lake: str) -> None:
    """Print each file's columns and first rows as parsed, the warnings, and the events that the night would quarantine.

    Raises what the import would raise. The rows, with their ids, are shown to the owner of the files.
    """
    progress = StageProgress()
    with progress.shown("dry run"):
        read = read_import(request, Lake(lake).url, Settings().max_placeholder_share)
    for table in read.tables:
        _print_table(table)
    for kind, lines in (("warning", read.warnings), ("note", read.notes)):
        for line in lines:
            console.print(f"{kind}: {line}", markup=False)
    if frames := read.incoming.frames("events"):
        with progress.shown("check of events"):
            refused = refused_events(read.incoming, Lake(lake))
        _print_refused(refused, total=sum(map(len, frames)))
    console.print("dry run: nothing was kept")


def _print_refused(refused: Mapping[Reason, int], *, total: int) -> None:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in refused.items()) or "none"
    console.print(f"of {total:,} events the night would refuse {sum(refused.values()):,}: {reasons}")


def refused_events(incoming: Incoming, home: Lake) -> dict[Reason, int]:
    """The events that the night would quarantine, validated together with the landing zone. Opt-outs are ignored.

    The catalogue is that of the lake and the import together; where neither has items, the events' own.
    """
    import features  # noqa: PLC0415  loads Spark, which the rest does not need

    now = datetime.now(UTC)
    spark = features.spark(Settings())
    with tempfile.TemporaryDirectory(prefix="tastefeed-") as folder:
        new = [store_batch("events", frame, folder, now).path for frame in incoming.frames("events")]
        ingested = [home.address(path) for path in ingested_files(home.url, "events")]
        rows = read_event_files(spark, [*new, *ingested])
        checked = features.with_reason(
            rows, _items(spark, incoming, home), as_of=now + CLOCK_SKEW, opted_out_users=_no_users(spark)
        )
        of_import = checked.where(checked[c.LANDED_AT] == now)
        return features.quarantine_counts(features.split(of_import).quarantine)


def _items(spark: "SparkSession", incoming: Incoming, home: Lake) -> "DataFrame":
    items = pl.concat([read_items(home.url), *incoming.frames("items")])
    if items.is_empty():
        ids = pl.concat([frame.select(c.ITEM_ID) for frame in incoming.frames("events")]).drop_nulls().unique()
        items = pl.concat([pl.DataFrame(schema=pl.Schema(ITEMS)), ids], how="diagonal")
    return spark.createDataFrame(items.to_arrow())


def _no_users(spark: "SparkSession") -> "DataFrame":
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
    text = re.sub(CONTROL, "?", text)  # a title may contain control sequences of a terminal
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
