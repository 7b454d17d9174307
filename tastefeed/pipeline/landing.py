"""`tastefeed import` behind its door: land the files, then say what the night would refuse of them."""

from datetime import UTC, datetime
from pathlib import Path

from tastefeed.pipeline.console import console
from tastefeed.pipeline.importers import ImportSummary, import_files
from tastefeed.pipeline.lake import Lake
from tastefeed.pipeline.landed import last_day
from tastefeed.pipeline.opt_out_lake import OptOutLake


def land_files(
    source: str | None,
    *,
    events: list[Path],
    items: Path | None,
    users: Path | None,
    opt_outs: Path | None,
    lake: str,
) -> ImportSummary:
    """Land the files and print the summary; where events are new, also what the next night will quarantine."""
    home, kept = Lake(lake), OptOutLake.of(lake)
    summary = import_files(
        source or "files",
        events=events,
        items=items,
        users=users,
        opt_outs=opt_outs,
        lake_root=home.url,
        landed_at=datetime.now(UTC),
        opt_out_store=kept,
        erasures=kept,
    )
    for line in summary.lines():
        console.print(line)
    if any(batch.is_new for batch in summary.batches if batch.table == "events"):
        foretell(lake)
    return summary


def foretell(lake: str) -> None:
    """Run the night's own check over the landing zone and print its counts; nothing is written."""
    from tastefeed.pipeline.night import open_night  # noqa: PLC0415  loads torch and Spark, which landing needs not
    from tastefeed.pipeline.stages.events import checked_events  # noqa: PLC0415  see above

    night = open_night(lake, last_day(Lake(lake)).date())
    console.print(checked_events(night).told())
