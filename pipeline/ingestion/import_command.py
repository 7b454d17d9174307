"""`tastefeed import` behind its door: land the files, then say what the night would refuse of them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import Action, Reason, Settings
from contracts import columns as c
from contracts.errors import UnreadableInput
from pipeline.as_of_day import outlier_in
from pipeline.console import console
from pipeline.ingestion import NO_MAPPING, ImportSummary, NameMapping, import_files
from pipeline.ingestion.landed import last_day
from pipeline.lake import Lake
from pipeline.os_errors import require_room
from pipeline.privacy.opt_out_lake import OptOutLake

if TYPE_CHECKING:
    from pipeline.stages.events import Checked

REMEDIES = {
    Reason.NULL_ID: "give a user_id and an item_id of 1 to 512 characters in each row",
    Reason.UNKNOWN_ACTION: f"the actions are {', '.join(Action)}; rename yours with --action theirs=ours",
    Reason.BAD_TIMESTAMP: "give timestamps as ISO 8601 or Unix time",
    Reason.BEFORE_1990: "give timestamps of 1990 or later",
    Reason.IN_THE_FUTURE: "give timestamps in UTC that are not in the future",
    Reason.UNKNOWN_ITEM: "import the items that the events name with --items",
}
"""What to do where every event is refused, most of them for one reason."""


def land_files(
    source: str | None,
    *,
    events: list[Path],
    items: Path | None,
    users: Path | None,
    opt_outs: Path | None,
    lake: str,
    mapping: NameMapping = NO_MAPPING,
) -> ImportSummary:
    """Land the files and print the summary; where events are new, also what the next night will quarantine.

    Raises `OSError` where the lake cannot be written to, before a file is read.
    """
    home, kept, landed_at = Lake(lake), OptOutLake.of(lake), datetime.now(UTC)
    if not home.remote:
        require_room(home.folder)
    summary = import_files(
        source or "files",
        events=events,
        items=items,
        users=users,
        opt_outs=opt_outs,
        lake_root=home.url,
        landed_at=landed_at,
        opt_out_store=kept,
        mapping=mapping,
        max_placeholder_share=Settings().max_placeholder_share,
        erasures=kept,
    )
    for line in summary.lines():
        console.print(line, markup=False)
    if new := [batch.path for batch in summary.batches if batch.table == "events" and batch.is_new]:
        foretell(home, landed_at, new)
        warn_of_outlier(home)
    return summary


def warn_of_outlier(home: Lake) -> None:
    """Say at once what would stop the next night."""
    outlier = outlier_in(home, Settings(lake=home.url))
    if outlier:
        console.print(f"warning: {outlier.told()}")


def foretell(home: Lake, landed_at: datetime, new: Sequence[str]) -> None:
    """Run the night's own check over the landing zone and print its counts.

    `new` are the event files that this import landed, at `landed_at`. Raises `UnreadableInput` where the night would
    refuse each of their rows; the files are then removed again.
    """
    from pipeline.run_context import open_run_context  # noqa: PLC0415  loads torch and Spark, which landing needs not
    from pipeline.stages.events import checked_events, named  # noqa: PLC0415  see above

    checked = checked_events(open_run_context(home.url, day_to_check(home)))
    console.print(checked.text())
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
    """The day whose night sees every usable event; where no event is usable, tomorrow."""
    try:
        return last_day(home).date()
    except UnreadableInput:
        return (datetime.now(UTC) + timedelta(days=1)).date()


def _all_refused(checked: "Checked", landed_at: datetime) -> dict[Reason, int]:
    """Why each row that landed at an instant is refused; empty where one is not, or was known before."""
    rows = checked.rows.where(checked.rows[c.LANDED_AT] == landed_at).groupBy(c.REASON).count().collect()
    found = {row[c.REASON]: int(row["count"]) for row in rows}
    return {Reason(reason): count for reason, count in found.items()} if found.keys() <= REMEDIES.keys() else {}
