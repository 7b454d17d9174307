"""Which day a night is of; one event of a wrong year is found before anything starts."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from contracts import Settings
from contracts.errors import OutlierDay, UnreadableInput
from pipeline.as_of_day import choose_as_of, outlier_of, require_day_with_data
from pipeline.ingestion import ImportRequest, import_files
from pipeline.lake import Lake
from pipeline.time_splits import midnight
from serving.stores.event_store import EventStore
from tests import tiny

# Spark warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")
MONDAY = date(2024, 4, 1)
TODAY = datetime.now(UTC).date()


def days(*counts: int, start: date = MONDAY) -> dict[date, int]:
    """The events of consecutive days; a day without any is absent, as in the landing zone."""
    return {start + timedelta(days=day): count for day, count in enumerate(counts) if count}


def lake_of(lake: Path, counts: dict[date, int], name: str = "events") -> Lake:
    """So many clicks at noon of each day."""
    instants = [
        datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=1, seconds=n)
        for day, count in counts.items()
        for n in range(count)
    ]
    lake.mkdir(parents=True, exist_ok=True)
    file = lake.parent / f"{name}.parquet"
    rows = {"user_id": [f"u{n % 7}" for n in range(len(instants))], "item_id": "i", "action": "click"}
    pl.DataFrame({**rows, "timestamp": instants}).write_parquet(file)
    import_files(ImportRequest(events=[file]), lake_root=lake, landed_at=datetime.now(UTC))
    return Lake(lake)


def post(lake: Lake, counts: dict[date, int]) -> None:
    """So many clicks of each day that a server has stored and no night has ingested."""
    EventStore(settings(lake).events_dsn).add(
        [
            {"user_id": f"u{n}", "item_id": f"i{n % 5}", "action": "click", "timestamp": midnight(day)}
            for day, count in counts.items()
            for n in range(count)
        ]
    )


def settings(lake: Lake, **changes: object) -> Settings:
    return Settings(lake=str(lake.url), **changes)  # type: ignore[arg-type]


def test_one_event_of_a_wrong_year_is_an_outlier() -> None:
    outlier = outlier_of(days(*[12] * 30) | {TODAY: 1}, 7)
    assert outlier is not None
    assert (outlier.day, outlier.events, outlier.typical_events, outlier.typical_day) == (
        TODAY,
        1,
        12,
        date(2024, 4, 30),
    )
    assert f"{TODAY}, is an outlier: 1 events against 12 on a typical day" in outlier.message()
    assert "--as-of 2024-05-01" in outlier.message()
    assert outlier.message().endswith(f"or with --as-of {TODAY} if the date is right"), "no day in the future"


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(days(*[12] * 30), id="as always"),
        pytest.param(days(*[12] * 30, 1), id="a day that has just begun"),
        pytest.param(days(*[140, 150, 130, 160, 48, 4, 1] * 6), id="weekends"),
        pytest.param(
            days(*[100] * 30, 0, 0, 0, 0, 0, 1), id="some quiet days and one event: the held-out days have others"
        ),
        pytest.param(days(*[12] * 30) | {TODAY: 12}, id="back after a long break"),
        pytest.param(days(*[1] * 30) | {TODAY: 1}, id="so few events that none is odd"),
        pytest.param(days(*[50] * 6) | {TODAY: 1}, id="too few days to compute what is typical"),
        pytest.param(days(40), id="a single day"),
        pytest.param({MONDAY + timedelta(days=7 * week): 100 for week in range(12)}, id="a weekly letter"),
        pytest.param(days(*[400] * 60, *[30] * 30), id="a site that has shrunk"),
    ],
)
def test_other_days_are_not(counts: dict[date, int]) -> None:
    assert outlier_of(counts, 7) is None


def test_several_events_on_several_wrong_days_are_seen_too() -> None:
    wrong = {TODAY - timedelta(days=days): 1 for days in (0, 3, 40, 90)}
    outlier = outlier_of(days(*[40] * 60) | wrong, 7)
    assert outlier is not None
    assert outlier.typical_day == MONDAY + timedelta(days=59)
    assert outlier.held_out == 2


def test_an_outlier_long_before_the_others_is_no_matter() -> None:
    assert outlier_of({date(1999, 1, 1): 1} | days(*[12] * 30), 7) is None


def test_the_night_and_the_backtest_stop_unless_a_day_is_asked_for(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days(*[12] * 30) | {TODAY: 1})
    with pytest.raises(OutlierDay, match=r"is an outlier: .*The last typical day is 2024-04-30: run with --as-of 2024"):
        choose_as_of(lake, None, settings(lake))
    for day in (date(2024, 5, 1), TODAY):
        assert choose_as_of(lake, day, settings(lake)).day == day


def test_the_default_is_the_end_of_the_last_complete_day(tmp_path: Path) -> None:
    past = lake_of(tmp_path / "past" / "lake", days(*[12] * 30))
    assert choose_as_of(past, None, settings(past)).line() == (
        "as_of 2024-05-01: the run reads the events before 2024-05-01 00:00 UTC (2024-04-30 is the last complete day)"
    )
    live = lake_of(tmp_path / "live" / "lake", days(*[12] * 30, start=TODAY - timedelta(days=29)))
    assert choose_as_of(live, None, settings(live)).day == TODAY, "the events of today are left to the next night"
    one_day = settings(live, holdout_days=1)
    begun = lake_of(tmp_path / "begun" / "lake", days(*[12] * 29, 1, start=TODAY - timedelta(days=29)))
    assert choose_as_of(begun, None, one_day).day == TODAY, "a day that has begun is no outlier"


def test_a_site_of_today_has_its_first_night_today(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", {TODAY: 3})
    chosen = choose_as_of(lake, None, settings(lake))
    assert chosen.day == TODAY + timedelta(days=1)
    assert chosen.origin == f"{TODAY}, the first day with an event, is not over yet"


def test_posted_events_of_the_last_day_count(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days(*[100] * 30, 1))  # the first minute of a day; the rest was posted
    one_day = settings(lake, holdout_days=1)
    with pytest.raises(OutlierDay):
        choose_as_of(lake, None, one_day)
    post(lake, days(60, start=date(2024, 5, 1)))
    assert choose_as_of(lake, None, one_day).day == date(2024, 5, 2)


def test_a_day_of_which_all_events_were_posted_is_the_last_complete_day(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days(*[12] * 27, start=TODAY - timedelta(days=30)))
    post(lake, days(12, 12, 12, 1, start=TODAY - timedelta(days=3)))
    chosen = choose_as_of(lake, None, settings(lake))
    assert chosen.line().endswith(f"({TODAY - timedelta(days=1)} is the last complete day)"), "the night is days late"
    assert chosen.day == TODAY


def test_ingested_posts_count_once(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days(*[100] * 30, 20))
    one_day = settings(lake, holdout_days=1)
    post(lake, days(20, start=date(2024, 5, 1)))
    assert choose_as_of(lake, None, one_day).day == date(2024, 5, 2), "40 events are no outlier, and 20 are one"
    store = EventStore(one_day.events_dsn)
    batch = store.drain()
    assert batch is not None
    store.mark_ingested(batch.name)
    with pytest.raises(OutlierDay, match=r"20 events against 100"):
        choose_as_of(lake, None, one_day)


def test_a_site_that_only_posts_events_has_a_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    Path(lake.url).mkdir()
    with pytest.raises(UnreadableInput, match="no events are ingested; run `tastefeed import"):
        choose_as_of(lake, None, settings(lake))
    post(lake, days(3, 2))
    for requested in (None, date(2024, 4, 3)):
        assert choose_as_of(lake, requested, settings(lake)).day == date(2024, 4, 3)
    with pytest.raises(UnreadableInput, match=f"has no event before it; give a day from 2024-04-02 to {TODAY}"):
        choose_as_of(lake, MONDAY, settings(lake))


@pytest.mark.parametrize(
    ("as_of", "problem"),
    [
        (date(1, 1, 1), "has no event before it; give a day from 2024-04-02 to "),
        (MONDAY, "has no event before it"),
        (TODAY + timedelta(days=1), f"is in the future; give a day from 2024-04-02 to {TODAY}"),
        (date(9999, 12, 31), "is in the future"),
    ],
)
def test_a_day_that_no_night_can_be_of_is_refused(tmp_path: Path, as_of: date, problem: str) -> None:
    lake = lake_of(tmp_path / "lake", days(*[12] * 30))
    with pytest.raises(UnreadableInput, match=problem):
        choose_as_of(lake, as_of, settings(lake))
    with pytest.raises(UnreadableInput, match=problem):
        require_day_with_data(lake, as_of, settings(lake))


def test_the_command_line_reports_it_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days(*[12] * 30) | {TODAY: 1})
    before = sorted(tmp_path.rglob("*"))
    for command in ("nightly", "backtest"):
        stopped = tiny.tastefeed_here(command, "--lake", lake.url)
        assert stopped.returncode == 1
        assert stopped.stderr.count("\n") == 1
        assert "--as-of 2024-05-01" in stopped.stderr
        assert "Traceback" not in stopped.stderr
    for command in ("nightly", "backtest"):
        refused = tiny.tastefeed_here(command, "--lake", lake.url, "--as-of", "0001-01-01")
        assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (1, 1, "")
        assert "--as-of 0001-01-01 has no event before it" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("spark")
def test_the_import_warns_at_once(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days(*[12] * 30))
    file = tmp_path / "today.csv"
    file.write_text(f"user_id,item_id,action,timestamp\nu1,i,click,{TODAY}\n")
    done = tiny.tastefeed_here("import", "--lake", lake.url, "--events", file)
    assert done.returncode == 0
    assert f"warning: the last day with an event, {TODAY}, is an outlier" in done.stdout
    shutil.rmtree(lake.url)
