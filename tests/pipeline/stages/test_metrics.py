"""The parts of the metrics stage: who the champion is, which cutoffs are measured, and what its summary shows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation import MethodMetrics
from pipeline.champion import Champion
from pipeline.evaluation_segments import METRICS
from pipeline.feature_assembly import read_ingested_tables, read_snapshot
from pipeline.metrics_store import REHEARSALS, EvaluatedWeek, read_weeks
from pipeline.run_context import RunContext
from pipeline.stages.metrics import (
    champion_of,
    champion_summary,
    headline,
    index_agreement,
    served_lists,
    store,
    tables_of,
    trained_rehearsal_cutoffs,
)
from pipeline.time_splits import backtest_splits, night_splits
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


def test_a_rehearsal_cutoff_without_a_model_is_not_measured(night: RunContext, tmp_path: Path) -> None:
    splits = night_splits(DAY, holdout_days=7, label_weeks=4, rehearsal_weeks=3)
    night = replace(night, splits=splits)
    both, only_tower, _ = splits.rehearsal_cutoffs
    towers = tmp_path / "towers"
    for cutoff in (both, only_tower):
        (towers / f"cut={cutoff:%Y-%m-%dT%H}").mkdir(parents=True)
    with night.lake.new_folder("reranker", DAY) as folder:
        (folder / f"cut={both:%Y-%m-%dT%H}.txt").touch()
    assert trained_rehearsal_cutoffs(night, towers) == [both]


def test_the_weeks_of_the_rehearsal_cutoffs_are_stored_beside_the_held_out_ones(night: RunContext) -> None:
    earlier = replace(week("final"), cutoff=CUTOFF - timedelta(days=7))
    store(night, [week("popular_7d", "final")], [earlier])
    with night.lake.open_folder("metrics", DAY) as folder:
        assert [method.name for method in read_weeks(folder)[0].methods] == ["popular_7d", "final"]
        assert [each.cutoff for each in read_weeks(folder / REHEARSALS)] == [earlier.cutoff]
    store(night, [week("final")], [])
    with night.lake.open_folder("metrics", DAY) as folder:
        assert read_weeks(folder / REHEARSALS) == []


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


def test_a_week_without_labels_leaves_the_recall_of_the_others(night: RunContext) -> None:
    weeks = [week("popular_7d", "final"), replace(week("popular_7d", "final"), candidate_recall=np.nan)]
    assert headline(night, weeks, tables_of(night, weeks, pl.DataFrame()))["candidate_recall"] == 0.25


def test_a_summary_holds_the_served_lists_alone() -> None:
    table = pl.DataFrame({"method": ["popular_7d", "final", "champion"], "users": [1, 2, 3]})
    assert [row["users"] for row in served_lists(table)] == [2, 3]


def test_a_small_index_agrees_with_exact_search(night: RunContext) -> None:
    assert index_agreement(night, read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())) == 1.0
