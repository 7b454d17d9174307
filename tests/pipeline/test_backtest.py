"""The averages of a backtest, its gains, and the page that it writes."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation import MethodMetrics
from pipeline.backtest import backtest_of, show, write
from pipeline.metrics_store import EvaluatedWeek
from tests.pipeline.handmade_lake import CUTOFF

DAY = date(2017, 3, 8)
USERS = 20


def week(popular: float, final: float, recall: float) -> EvaluatedWeek:
    levels = {"popular_7d": popular, "final": final}
    methods = [
        MethodMetrics(name, USERS, {"ndcg_at_20": np.full(USERS, value)}, {"ndcg_at_20": value})
        for name, value in levels.items()
    ]
    return EvaluatedWeek(np.arange(USERS, dtype=np.int32), methods, CUTOFF, recall, {})


@pytest.fixture
def weeks() -> list[EvaluatedWeek]:
    return [week(0.2, 0.3, 0.8), week(0.4, 0.7, 0.6)]


def test_means_are_over_weeks_and_the_gain_is_paired(weeks: list[EvaluatedWeek]) -> None:
    backtest = backtest_of(weeks)
    means = {method.name: method.means["ndcg_at_20"] for method in backtest.means}
    assert means == pytest.approx({"popular_7d": 0.3, "final": 0.5})
    assert backtest.candidate_recall == pytest.approx(0.7)
    assert set(backtest.gains) == {"popular_7d"}
    assert backtest.gains["popular_7d"].mean == pytest.approx(0.2)


def test_a_week_without_labels_leaves_the_recall_of_the_others(weeks: list[EvaluatedWeek]) -> None:
    empty = week(np.nan, np.nan, np.nan)
    assert backtest_of([*weeks, empty]).candidate_recall == pytest.approx(0.7)


def test_the_table_has_the_gain_beside_every_other_method(weeks: list[EvaluatedWeek]) -> None:
    table = backtest_of(weeks).table()
    gains = dict(table.select("method", "gain_of_final").rows())
    assert gains["final"] == ""
    assert "0.2" in gains["popular_7d"]


def test_the_page_names_the_command_and_the_recall_of_the_candidates(
    weeks: list[EvaluatedWeek], tmp_path: Path
) -> None:
    write(backtest_of(weeks), DAY, tmp_path / "out")
    page = (tmp_path / "out" / "backtest.md").read_text()
    assert page.startswith("# Backtest: 2 weeks that end 2017-03-08\n")
    assert "`tastefeed backtest --weeks 2 --as-of 2017-03-08`" in page
    assert "hold 0.7000 of the labels" in page
    assert pl.read_parquet(tmp_path / "out" / "metrics.parquet")["method"].to_list() == ["popular_7d", "final"]


def test_the_console_shows_the_same(weeks: list[EvaluatedWeek], capsys: pytest.CaptureFixture[str]) -> None:
    show(backtest_of(weeks), DAY)
    printed = capsys.readouterr().out
    assert "2 weeks that end 2017-03-08" in printed
    assert "hold 0.700 of the labels" in printed
