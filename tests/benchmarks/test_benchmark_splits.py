"""A split in time, by hand: who is asked for what, and that nothing later is learned from."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from benchmarks.benchmark_splits import WindowsConfig, folder_of, new_ratings, plan_of, read_events, split_of
from contracts.errors import BadEvaluationInput, DataMissing
from tests.benchmarks import ranking_world

START = datetime(2000, 1, 1, tzinfo=UTC)
KINDS = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC")}
ONE_WINDOW = WindowsConfig(share=0.1, label_windows=1)


def events(*rows: tuple[str, str, float]) -> pl.DataFrame:
    dated = [(user, item, START + timedelta(days=day)) for user, item, day in rows]
    return pl.DataFrame(dated, schema=KINDS, orient="row")


def words(pairs: pl.DataFrame) -> list[str]:
    return sorted(" ".join(row) for row in pairs.select("user_id", "item_id").rows())


def daily(days: int) -> pl.DataFrame:
    return events(*((f"u{day % 2}", f"i{day}", day + 0.1) for day in range(days)))


def test_windows_of_whole_days_end_with_the_last_day() -> None:
    plan = plan_of(daily(30)["timestamp"], ONE_WINDOW)  # a tenth of 30 daily events: 3 days
    assert (plan.as_of, plan.label_days) == ((START + timedelta(days=30)).date(), 3)
    assert plan.eval_cutoffs == (START + timedelta(days=24), START + timedelta(days=27))
    assert plan.training_cutoffs(plan.eval_cutoffs[1]) == (
        plan.eval_cutoffs[0],
    )  # the test's re-ranker learns up to its own cutoff


def test_no_part_holds_anything_of_a_later_one() -> None:
    log = daily(30)
    plan = plan_of(log["timestamp"], ONE_WINDOW)
    split = split_of(log, plan, "ml-100k")
    assert words(split.validation_train) == words(log.head(24).drop("timestamp"))
    assert words(split.validation) == ["u0 i24", "u0 i26", "u1 i25"]
    assert words(split.train) == words(log.head(27).drop("timestamp"))
    assert words(split.test) == ["u0 i28", "u1 i27", "u1 i29"]
    assert "from 2000-01-28 on" in split.protocol


def test_labels_are_new_items_of_known_users() -> None:
    cutoff = START + timedelta(days=10)
    log = events(
        ("ann", "a", 9.9),
        ("ann", "a", 10.5),  # rated again
        ("ann", "b", 10.0),  # exactly at the cutoff
        ("ann", "b", 11.0),
        ("ann", "c", 13.0),  # beyond the window
        ("new", "a", 10.5),  # a user without history
    )
    assert words(new_ratings(log, cutoff, timedelta(days=3))) == ["ann b"]


def test_too_few_days_are_refused_with_a_remedy() -> None:
    with pytest.raises(BadEvaluationInput, match=r"9 label windows of 3 days .* fewer windows.label_windows"):
        plan_of(daily(30)["timestamp"], WindowsConfig(label_windows=9))


def test_events_are_read_oldest_first(tmp_path: Path) -> None:
    log = read_events(folder_of(ranking_world.write(tmp_path), "ml-100k"))
    assert log.columns == ["user_id", "item_id", "timestamp"]
    assert log["timestamp"].is_sorted()
    assert log.height == ranking_world.DAYS * ranking_world.USERS


def test_absent_data_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"ml-1m/interactions.parquet: no such file; skipped, give the folder"):
        folder_of(tmp_path, "ml-1m")
    with pytest.raises(DataMissing, match="gowalla: no such data set for ranking; choose one of ml-100k, ml-1m"):
        folder_of(tmp_path, "gowalla")
