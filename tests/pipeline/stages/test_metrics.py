"""The parts of the metrics stage: who the champion is, which cutoffs are measured, and what its summary shows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from contracts.schemas import ITEMS, USERS
from evaluation import MethodMetrics, RankedLists, catalogue_from, events_from, hold_out
from pipeline.champion import Champion
from pipeline.feature_assembly import IngestedTables, read_ingested_tables, read_snapshot
from pipeline.metrics_store import VALIDATION, EvaluatedWeek, read_weeks
from pipeline.offline_inference import EvaluationData
from pipeline.run_context import RunContext
from pipeline.stages.metrics import (
    METRICS,
    champion_of,
    champion_summary,
    headline,
    index_agreement,
    item_segments_table,
    languages_read,
    served_lists,
    store,
    tables_of,
    trained_validation_cutoffs,
    user_segments,
    user_segments_table,
)
from pipeline.time_splits import backtest_splits, night_splits
from ranking.feature_arrays import ids_of
from tests.pipeline.handmade_lake import CUTOFF, DAY, Tower, handmade


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path)


def week(*names: str) -> EvaluatedWeek:
    users = 6
    per_user = dict.fromkeys(METRICS, np.full(users, 0.5))
    methods = [MethodMetrics(name, users, per_user, dict.fromkeys(METRICS, 0.5)) for name in names]
    return EvaluatedWeek(
        np.arange(users, dtype=np.int32), methods, CUTOFF, 0.25, {"region": np.full(users, "SP", object)}
    )


def test_without_a_release_or_in_a_backtest_there_is_no_champion(night: RunContext) -> None:
    assert champion_of(night, read_ingested_tables(night)) == "no release serves yet"
    backtest = replace(night, splits=backtest_splits(DAY, weeks=1, holdout_days=7, label_weeks=1))
    assert (
        champion_of(backtest, read_ingested_tables(night))
        == "nothing is published, so nothing is compared with a champion"
    )


def test_a_champion_is_shown_with_its_cutoff_an_absent_one_with_the_reason() -> None:
    assert champion_summary(Champion("2017-03-01-abc", CUTOFF, None)) == {
        "version": "2017-03-01-abc",
        "cut": "2017-03-01",
    }
    assert champion_summary("no release serves yet") == {"absent": "no release serves yet"}


def test_a_validation_cutoff_without_a_model_is_not_measured(night: RunContext, tmp_path: Path) -> None:
    splits = night_splits(DAY, holdout_days=7, label_weeks=4, validation_weeks=3)
    night = replace(night, splits=splits)
    both, only_tower, _ = splits.validation_cutoffs
    towers = tmp_path / "towers"
    for cutoff in (both, only_tower):
        (towers / f"cut={cutoff:%Y-%m-%dT%H}").mkdir(parents=True)
    with night.lake.new_folder("reranker", DAY) as folder:
        (folder / f"cut={both:%Y-%m-%dT%H}.txt").touch()
    assert trained_validation_cutoffs(night, towers) == [both]


def test_the_weeks_of_the_validation_cutoffs_are_stored_beside_the_held_out_ones(night: RunContext) -> None:
    earlier = replace(week("final"), cutoff=CUTOFF - timedelta(days=7))
    store(night, [week("popular_7d", "final")], [earlier])
    with night.lake.open_folder("metrics", DAY) as folder:
        assert [method.name for method in read_weeks(folder)[0].methods] == ["popular_7d", "final"]
        assert [each.cutoff for each in read_weeks(folder / VALIDATION)] == [earlier.cutoff]
    store(night, [week("final")], [])
    with night.lake.open_folder("metrics", DAY) as folder:
        assert read_weeks(folder / VALIDATION) == []


def test_the_headline_is_that_of_the_last_method(night: RunContext) -> None:
    weeks = [week("popular_7d", "final")]
    tables = tables_of(night, weeks, pl.DataFrame())
    assert headline(night, weeks, tables) == {
        "users": 6,
        "held_out": "2017-03-01 to 2017-03-08",
        "ndcg_at_20": 0.5,
        "candidate_recall": 0.25,
    }
    assert set(tables.intervals["metric"]) == {"ndcg_at_20", "recall_at_20"}
    assert tables.people.filter(method="final", slice="region")["group"].to_list() == ["SP"]


def test_a_summary_holds_the_served_lists_alone() -> None:
    table = pl.DataFrame({"method": ["popular_7d", "final", "champion"], "users": [1, 2, 3]})
    assert [row["users"] for row in served_lists(table)] == [2, 3]


def test_a_small_index_agrees_with_exact_search(night: RunContext) -> None:
    assert index_agreement(night, read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())) == 1.0


USERS_EACH = 6


def ingested(stated: dict[str, str] | None = None) -> IngestedTables:
    """Two English items (one of them American), two Portuguese ones and one of unknown language."""
    items = pl.DataFrame(
        {
            "item_id": ["e1", "e2", "n1", "p1", "p2"],
            "language": ["en", "en-US", None, "pt", "pt-BR"],
            "created_at": [CUTOFF - timedelta(days=40)] * 4 + [CUTOFF - timedelta(days=2)],
        }
    )
    users = pl.DataFrame(
        [(user, (stated or {}).get(user), "SP" if int(user[1:]) % 2 else "TX") for user in user_ids()],
        schema=["user_id", "language", "region"],
        orient="row",
    )
    empty = pl.DataFrame(schema=pl.Schema(ITEMS)), pl.DataFrame(schema=pl.Schema(USERS))
    items, users = (
        pl.concat([none, some], how="diagonal_relaxed") for none, some in zip(empty, (items, users), strict=True)
    )
    return IngestedTables(items, users, np.zeros(5, bool), [], [], [], [])


def whole(rows: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """The rows with every column of their table."""
    return pl.concat([pl.DataFrame(schema=pl.Schema(schema)), rows], how="diagonal_relaxed")


def user_ids() -> list[str]:
    return [f"u{number:02}" for number in range(2 * USERS_EACH)]


def events(*extra: tuple[str, str, str, float]) -> pl.DataFrame:
    """The first half read English, the others Portuguese; in the held-out week each clicks the other language."""
    rows = [(user, "e1" if number < USERS_EACH else "p1", "click", -5.0) for number, user in enumerate(user_ids())]
    rows += [(user, "p1" if number < USERS_EACH else "e1", "click", 1.0) for number, user in enumerate(user_ids())]
    rows = [(*row[:3], CUTOFF + timedelta(days=row[3])) for row in [*rows, *extra]]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "action", "timestamp"], orient="row")


def data_of(frame: pl.DataFrame, snapshot: IngestedTables) -> EvaluationData:
    ids, item_ids = ids_of(user_ids()), ids_of(snapshot.items["item_id"])
    vectors = np.zeros((len(item_ids), 1), np.float32)
    return EvaluationData(events_from(frame, ids, item_ids), catalogue_from(snapshot.items), ids, item_ids, vectors)


def segments(frame: pl.DataFrame, snapshot: IngestedTables) -> dict[str, list[str]]:
    data = data_of(frame, snapshot)
    holdout = hold_out(data.events, data.catalogue, CUTOFF)
    assert holdout.user_rows.tolist() == list(range(2 * USERS_EACH))
    return {name: labels.tolist() for name, labels in user_segments(snapshot, data, holdout).items()}


def test_a_user_reads_the_language_of_most_clicks_before_the_cutoff() -> None:
    by_segment = segments(events(), ingested())
    assert set(by_segment) == {"tenure", "history", "language", "region"}
    assert by_segment["language"] == ["en"] * USERS_EACH + ["pt"] * USERS_EACH
    assert by_segment["region"] == ["TX", "SP"] * USERS_EACH


def test_a_stated_language_counts_before_the_one_that_was_read() -> None:
    stated = dict.fromkeys(user_ids()[:USERS_EACH], "pt-PT")
    assert segments(events(), ingested(stated))["language"] == ["pt"] * 2 * USERS_EACH


def test_equal_languages_give_the_first_by_name_and_unknown_ones_none() -> None:
    frame = events(("u00", "p2", "click", -4.0), ("u11", "n1", "save", -4.0))
    snapshot = ingested()
    data = data_of(frame, snapshot)
    read = languages_read(snapshot, hold_out(data.events, data.catalogue, CUTOFF))
    assert (read[0], read[11]) == ("en", "pt")


def test_a_hidden_item_is_not_read() -> None:
    frame = events(("u00", "p2", "hide", -4.0), ("u00", "p2", "hide", -3.0))
    assert segments(frame, ingested())["language"][0] == "en"


def test_small_segments_are_merged() -> None:
    stated = {"u00": "de", "u01": "fr"}
    labels = segments(events(), ingested(stated))["language"]
    assert labels[0] == labels[1] == "other"
    assert "de" not in labels
    assert labels.count("other") >= 5, "a segment of two users would identify them"


def test_the_tables_have_a_row_for_each_method_and_segment() -> None:
    snapshot = ingested()
    data = data_of(events(), snapshot)
    holdout = hold_out(data.events, data.catalogue, CUTOFF)
    labels = user_segments(snapshot, data, holdout)
    halves = np.repeat([1.0, 0.0], USERS_EACH)
    method = MethodMetrics("final", len(halves), dict.fromkeys(METRICS, halves), {})
    table = user_segments_table(EvaluatedWeek(holdout.user_rows, [method], CUTOFF, 1.0, labels))
    languages = table.filter(slice="language").sort("group")
    assert languages.select("method", "group", "users", "ndcg_at_20").rows() == [
        ("final", "en", USERS_EACH, 1.0),
        ("final", "pt", USERS_EACH, 0.0),
    ]
    lists = RankedLists(np.tile(np.array([0, 3, -1], np.int32), (len(halves), 1)))  # e1, then p1, then an empty place
    items = item_segments_table({"final": lists}, holdout, data.catalogue)
    assert set(items["method"]) == {"final"}
    assert items.filter(group="older")["recall_at_20"].item() == pytest.approx(1.0)
