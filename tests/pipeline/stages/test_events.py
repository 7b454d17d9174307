"""Ingested and posted events become valid events; bad rows go to quarantine, and too many of them stop the night."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from contracts import Reason
from contracts.errors import TooManyBadRows, UnreadableInput, UntrainableInput
from contracts.schemas import EVENTS, ITEMS
from pipeline.ingestion import store_batch
from pipeline.run_context import RunContext, Summary, open_run_context
from pipeline.stages.events import checked_events, events, named
from serving.releases.publish import current
from tests.pipeline.handmade_lake import DAY, END, EVENT_ROWS, ITEM_ROWS, handmade, hours, recording, whole
from tests.serving.tiny import publish_tiny

# Spark warns about its own dependencies
pytestmark = pytest.mark.filterwarnings("ignore")
BAD = [("u1", "nowhere", "click", -1), ("u1", "a", "shrug", -1), ("u1", "a", "click", 24 * 30)]
"""An item that the catalogue lacks, an unknown action, and an event after the end of the night."""


@pytest.fixture
def lenient(tmp_path: Path, spark: object) -> RunContext:
    """A night without events, which accepts any share of broken rows."""
    night = handmade(tmp_path)
    night.lake.fs.rm(f"{night.lake.root}/events", recursive=True)
    object.__setattr__(night, "settings", night.settings.model_copy(update={"max_bad_share": 1.0}))
    recording(night)
    return night


@pytest.fixture
def night(tmp_path: Path, spark: object) -> RunContext:
    night = handmade(tmp_path)
    night.lake.fs.rm(f"{night.lake.root}/events", recursive=True)
    ingest(night, [*EVENT_ROWS, *BAD])
    recording(night)
    return night


Exported = tuple[str | None, str, str, float | None]
BROKEN: list[Exported] = [(None, "a", "click", -1), ("u1", "a", "shrug", -1), *[("u1", "a", "click", None)] * 2]
"""No user, an unknown action, and twice no time."""


def export(night: RunContext, *rows: Exported, landed_at: datetime = END) -> str:
    """Ingest rows without ids of their own; the file, relative to the lake."""
    table: list[dict[str, object]] = [
        {"user_id": user, "item_id": item, "action": action, "timestamp": None if at is None else hours(at)}
        for user, item, action, at in rows
    ]
    path = store_batch("events", whole(table, EVENTS), night.home.url, landed_at).path
    return f"landing/events/{Path(path).name}"


def share(night: RunContext) -> float:
    bad_share: float = summary_of(night)["bad_share"]
    return bad_share


def ingest(night: RunContext, rows: list[tuple[str, str, str, float]]) -> None:
    table = [
        {"event_id": f"e{number}", "user_id": user, "item_id": item, "action": action, "timestamp": hours(at)}
        for number, (user, item, action, at) in enumerate(rows)
    ]
    store_batch("events", whole(table, EVENTS), night.home.url, END + timedelta(days=40))


def summary_of(night: RunContext) -> Summary:
    """The summary of the stage, which writes it before it reports that three users are too few for models."""
    with pytest.raises(UntrainableInput, match="3 users have a click or save, 20 are asked for"):
        events(night)
    return night.summary("events")


def test_bad_rows_go_to_quarantine_with_their_reason(night: RunContext) -> None:
    object.__setattr__(night, "settings", night.settings.model_copy(update={"max_bad_share": 0.5}))
    summary = summary_of(night)
    assert (summary["ingested"], summary["kept"]) == (13, 10)
    assert summary["bad_share"] == pytest.approx(2 / 12, abs=1e-4), "an event after the end of the night is not broken"
    assert summary["quarantine"] == {Reason.UNKNOWN_ITEM: 1, Reason.UNKNOWN_ACTION: 1, Reason.AFTER_AS_OF: 1}
    assert night.count("events") == 10
    rows = night.lake.scan("quarantine", DAY).collect()
    assert set(rows["reason"]) == {"unknown_item", "unknown_action", "after_as_of"}


def test_too_many_bad_rows_stop_the_night_before_events_are_replaced(night: RunContext) -> None:
    with pytest.raises(TooManyBadRows, match="TASTEFEED_MAX_BAD_SHARE"):
        events(night)
    assert night.lake.partitions("events") == []
    assert night.lake.partitions("quarantine") == [DAY], "the reasons are kept"


@pytest.mark.parametrize("days", [1, 0], ids=["imported one after the other", "in one import"])
def test_broken_rows_that_many_exports_repeat_count_once(lenient: RunContext, days: int) -> None:
    for number in range(1, 6):
        new: list[Exported] = [("u1", "a", "click", hour) for hour in range(10, 10 + number)]
        export(lenient, *EVENT_ROWS, *BROKEN, *new, landed_at=END + timedelta(days=days * number))
    assert share(lenient) == pytest.approx(4 / 19, abs=1e-4), "ten events, five new ones and four broken rows"


def test_another_event_of_the_same_id_stays_broken(lenient: RunContext) -> None:
    ingest(lenient, list(EVENT_ROWS))
    ingest(lenient, [("u3", "d", "save", 3), *EVENT_ROWS[1:]])
    assert share(lenient) == pytest.approx(1 / 11, abs=1e-4)


def test_one_row_twice_in_one_file_is_broken(lenient: RunContext) -> None:
    export(lenient, *EVENT_ROWS, EVENT_ROWS[0])
    assert share(lenient) == pytest.approx(1 / 11, abs=1e-4)


LATER: list[Exported] = [("u1", "a", "click", 24 * 10 + minutes / 60) for minutes in range(90)]
"""Ninety events after the end of the night."""
BROKEN_LATER: list[Exported] = [(None, "a", "click", 24 * 11), ("u1", "a", "shrug", 24 * 11)]


def test_broken_rows_of_later_days_do_not_count(lenient: RunContext) -> None:
    export(lenient, *EVENT_ROWS, *LATER, *BROKEN_LATER * 5, landed_at=END + timedelta(days=40))
    assert share(lenient) == 0


@pytest.mark.parametrize("hour", [None, -24.0 * 365 * 30, 24.0 * 365 * 30], ids=["none", "of 1987", "of 2047"])
def test_rows_without_a_usable_time_count_in_proportion_to_the_days_of_the_night(
    lenient: RunContext, hour: float | None
) -> None:
    export(lenient, *EVENT_ROWS, *LATER, *[("u1", "a", "click", hour)] * 20, landed_at=END + timedelta(days=40))
    assert share(lenient) == pytest.approx(2 / 12, abs=1e-4), "ten events of a hundred, and so two of the twenty rows"


def test_a_night_that_is_refused_names_the_file_and_runs_once_it_is_replaced(lenient: RunContext) -> None:
    object.__setattr__(lenient, "settings", lenient.settings.model_copy(update={"max_bad_share": 0.2}))
    bad = export(lenient, *EVENT_ROWS, *BROKEN)
    export(lenient, *EVENT_ROWS, *BROKEN[:1], landed_at=END + timedelta(days=1))
    with pytest.raises(TooManyBadRows, match=rf"{bad} has the most \(4\); remove that file from the lake"):
        events(lenient)
    rows = lenient.lake.scan("quarantine", DAY).collect()
    assert rows.filter(rows["file"] == bad)["reason"].to_list().count("bad_timestamp") == 2
    lenient.home.fs.rm(f"{lenient.home.root}/{bad}")
    assert share(lenient) == pytest.approx(1 / 11, abs=1e-4)


def test_rows_of_opted_out_users_are_neither_events_nor_bad(night: RunContext) -> None:
    night.opt_outs.set("user", "u1", "personalization")
    checked = checked_events(night)
    users = {row.user_id for row in checked.events.select("user_id").distinct().collect()}
    assert users == {"u2", "u3"}
    assert sum(checked.counts.values()) == 0, "every bad row was of u1"
    assert checked.text() == f"of {checked.total:,} ingested events the night refuses 0: none"


def test_a_day_before_the_data_ends_before_spark_reads_anything(night: RunContext) -> None:
    before = open_run_context(str(night.home.url), DAY - timedelta(days=60))
    with pytest.raises(UnreadableInput, match="has no event before it"):
        events(before)
    assert "spark" not in vars(before)


def test_a_catalogue_of_which_nothing_may_be_shown_ends_before_spark_and_the_release_stays(
    night: RunContext, tmp_path: Path
) -> None:
    served = publish_tiny(night.releases, tmp_path / "fits").version
    gone = [item | {"removed_at": hours(-1)} for item in ITEM_ROWS]
    store_batch("items", whole(gone[:-1], ITEMS), night.home.url, END + timedelta(days=40))
    night.opt_outs.set("item", "later", "recommendation")
    with pytest.raises(
        UnreadableInput,
        match=r"none of the 5 items may be recommended on 2017-03-08: 4 are removed by then, 1 opted out, others are "
        r"created later; import items to show",
    ):
        events(night)
    assert "spark" not in vars(night)
    assert current(night.releases) == served


def test_too_little_data_ends_before_spark_where_a_release_serves(night: RunContext, tmp_path: Path) -> None:
    publish_tiny(night.releases, tmp_path / "fits")
    with pytest.raises(UntrainableInput, match="there is too little data for models"):
        events(night)
    assert "spark" not in vars(night)


def test_counts_as_text() -> None:
    counts = {Reason.UNKNOWN_ITEM: 1200, Reason.NULL_ID: 1}
    assert named(counts) == f"1,200 {Reason.UNKNOWN_ITEM}, 1 {Reason.NULL_ID}"
    assert named({}) == "none"


def test_the_fingerprint_is_that_of_the_events_which_the_night_read(night: RunContext) -> None:
    object.__setattr__(night, "settings", night.settings.model_copy(update={"max_bad_share": 0.5}))
    first = summary_of(night)["fingerprint"]
    assert summary_of(night)["fingerprint"] == first
    ingest(night, [("u3", "a", "click", 24 * 30), ("u3", "nowhere", "click", -1)])
    assert summary_of(night)["fingerprint"] == first, "one event after the end, one of an unknown item"
    ingest(night, [*EVENT_ROWS, *BAD, *[("u3", "a", "click", -number) for number in range(1, 9)]])
    assert summary_of(night)["fingerprint"] != first
    assert len(first) == 12
