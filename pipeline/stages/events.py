"""Ingested events become valid events; rows that break the contract go to quarantine with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

import features
from contracts import Reason
from contracts import columns as c
from contracts.errors import UnreadableInput
from evaluation import catalogue_from
from pipeline.as_of_day import require_day_with_data
from pipeline.experiments.night_run import log_ingested
from pipeline.feature_assembly import read_ingested_tables
from pipeline.ingestion import store_batch
from pipeline.ingestion.item_catalogue import read_catalogue
from pipeline.ingestion.landing_zone import read_ingested_events
from pipeline.model_refusals import serving_release_stays
from pipeline.run_context import RunContext, Summary
from pipeline.training_data import shortage_of
from serving.releases.manifest import ReducedTo

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Checked:
    """The landing zone after the night's check."""

    rows: "DataFrame"
    """Every row with its `reason`, null for a valid one; cached."""
    events: "DataFrame"
    quarantine: "DataFrame"
    total: int
    counts: dict[Reason, int]
    bad: features.BadShare

    def text(self) -> str:
        """The counts as one line of text."""
        return (
            f"of {self.total:,} ingested events the night refuses {sum(self.counts.values()):,}: {named(self.counts)}"
        )


def named(counts: Mapping[Reason, int]) -> str:
    """Counts by reason as text."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) or "none"


def events(night: RunContext) -> Summary:
    """Check the ingested events. Raises `TooManyBadRows` before any model is trained on them.

    Raises `UnreadableInput` before Spark starts where the day has no data or no item to show, and `UntrainableInput`
    where there is too little data for models: at the end, so that the night can publish a list without models.
    """
    ingest_pending(night)
    require_day_with_data(night.home, night.splits.as_of, night.settings)
    if night.splits.publishes:
        require_items_to_show(night)
    shortage = shortage_of(night) if night.splits.publishes else None
    if shortage and serving_release_stays(night, ReducedTo.NON_PROFILED):
        raise shortage
    checked = checked_events(night)
    night.overwrite("quarantine", checked.quarantine)
    features.accept(checked.bad, checked.counts, max_bad_share=night.settings.max_bad_share)
    night.overwrite("events", checked.events)
    kept = checked.total - sum(checked.counts.values())
    summary: Summary = {
        "ingested": checked.total,
        "kept": kept,
        "bad_share": round(checked.bad.share, 4),
        "fingerprint": features.fingerprint(checked.events),
        "quarantine": dict(checked.counts),
    }
    log_ingested(night, summary)
    if shortage:
        night.write_summary("events", {"seconds": 0.0, **summary})
        raise shortage
    return summary


def require_items_to_show(night: RunContext) -> None:
    """Raise `UnreadableInput` where there are items, but none that a release of this night may recommend: its feeds
    would be empty, and its re-ranker would find no candidate."""
    ingested, end = read_ingested_tables(night), night.splits.end
    rankable = catalogue_from(ingested.items, ingested.excluded).rankable(end)
    if rankable.any() or not len(rankable):
        return
    removed, excluded = int((ingested.items[c.REMOVED_AT] <= end).sum()), int(ingested.excluded.sum())
    raise UnreadableInput(
        f"{night.home.url}: none of the {len(rankable):,} items may be recommended on {night.splits.as_of}: "
        f"{removed:,} are removed by then, {excluded:,} opted out, others are created later; import items to show"
    )


def ingest_pending(night: RunContext) -> None:
    """Move the events that were posted to the server into the landing zone."""
    while batch := night.pending_events.drain():
        rows = pl.DataFrame(batch.rows).drop(c.LANDED_AT)
        store_batch("events", rows, night.home.url, datetime.now(UTC))
        night.pending_events.mark_ingested(batch.name)


def checked_events(night: RunContext) -> Checked:
    """The landing zone split into events and quarantine; opted-out users are removed first."""
    unreadable = night.unreadable_users()
    # cached: the counts and both tables are computed from it
    checked = features.with_reason(
        read_ingested_events(night.spark, night.home),
        read_catalogue(night.spark, night.home, night.opt_outs),
        as_of=night.splits.end,
        opted_out_users=unreadable,
    ).cache()
    split = features.split(checked)
    counts = features.quarantine_counts(split.quarantine)
    bad = features.bad_share(checked, counts, as_of=night.splits.end)
    return Checked(checked, split.events, split.quarantine, checked.count(), counts, bad)
