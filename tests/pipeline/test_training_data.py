"""Too little data for models is found by counting, without Spark, and reads no user who opted out."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipeline.ingestion import ImportRequest, import_files
from pipeline.run_context import RunContext, open_run_context
from pipeline.training_data import announced, shortage_of, weeks_with_likes
from tests import tiny

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")
END = date(2024, 5, 1)


def lake_of(folder: Path, users: int, *days_before: float, action: str = "click") -> RunContext:
    """So many users, each with an event so many days before the end of the data."""
    end = datetime(END.year, END.month, END.day, tzinfo=UTC)
    rows = [(f"u{user}", "i1", action, end - timedelta(days=days)) for user in range(users) for days in days_before]
    names = ["user_id", "item_id", "action", "timestamp"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(folder / "events.parquet")
    import_files(ImportRequest(events=[folder / "events.parquet"]), lake_root=folder / "lake", landed_at=end)
    night = open_run_context(str(folder / "lake"), END)
    night.opt_outs.create()
    return night


@pytest.mark.parametrize(
    ("users", "days", "words", "setting"),
    [
        pytest.param(5, (0.5,), "5 users have a click or save, 20 are asked for", "GATES__MIN_USERS", id="five users"),
        pytest.param(1, (0.5, 30), "1 user has a click or save", "GATES__MIN_USERS", id="one user"),
        pytest.param(
            25, (0.5,), "no click or save is older than 14 days before 2024-05-01", "HOLDOUT_DAYS", id="one day"
        ),
        pytest.param(25, (1, 14), "no click or save is older than 14 days", "HOLDOUT_DAYS", id="two weeks"),
        pytest.param(25, (1, 100), "no user has a click or save in one of", "LABEL_WEEKS", id="no user returned"),
    ],
)
def test_what_is_missing_is_named_with_its_setting(
    tmp_path: Path, users: int, days: tuple[float, ...], words: str, setting: str
) -> None:
    shortage = shortage_of(lake_of(tmp_path, users, *days))
    assert shortage is not None
    assert str(shortage).startswith("there is too little data for models: ")
    assert words in str(shortage)
    assert f"TASTEFEED_{setting} (now " in " ".join(shortage.controls)


def test_impressions_are_no_data_for_models(tmp_path: Path) -> None:
    sentence = announced(lake_of(tmp_path, 25, 1, 10, 20, action="impression"))
    assert sentence is not None
    assert "0 users have a click or save" in sentence
    assert sentence.endswith("; the night publishes the non-profiled list")


def test_enough_data_is_no_shortage_until_users_opt_out(tmp_path: Path) -> None:
    night = lake_of(tmp_path, 21, 1, 10, 20)
    assert shortage_of(night) is None
    night.opt_outs.set("user", "u1", "training")
    assert shortage_of(night) is None
    night.opt_outs.set("user", "u2", "personalization")
    assert "19 users have" in str(shortage_of(night))


def test_posted_events_count_as_well(tmp_path: Path) -> None:
    night = lake_of(tmp_path, 19, 1, 10, 20)
    at = night.splits.end - timedelta(days=1)
    assert shortage_of(night) is not None
    night.pending_events.add([{"user_id": "new", "item_id": "i1", "action": "save", "timestamp": at}])
    assert shortage_of(night) is None


def test_a_site_that_only_posts_events_is_counted_by_weeks(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    night = open_run_context(str(tmp_path / "lake"), END)
    night.opt_outs.create()
    microsecond, week = timedelta(microseconds=1), timedelta(days=7)
    instants = [week * 2, week * 2 + microsecond, week, week - microsecond, timedelta(0)]
    night.pending_events.add(
        [
            {"user_id": f"u{n}", "item_id": "i1", "action": "click", "timestamp": night.splits.end - before}
            for n, before in enumerate(instants)
        ]
    )
    night.pending_events.add(
        [{"user_id": "looks", "item_id": "i1", "action": "impression", "timestamp": night.splits.end - week}]
    )
    assert sorted(weeks_with_likes(night).rows()) == [("u0", 1), ("u1", 2), ("u2", 0), ("u3", 0)]
    assert str(announced(night)).startswith("there is too little data for models: 4 users have a click or save")


def test_the_lake_of_the_tests_has_enough(tmp_path: Path) -> None:
    tiny.ingest(tmp_path / "lake")
    night = open_run_context(str(tmp_path / "lake"), tiny.day())
    night.opt_outs.create()
    assert shortage_of(night) is None
