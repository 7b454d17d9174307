"""What was measured is read back as it was written, and tables hold no user."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation import MethodMetrics
from pipeline.metrics_store import EvaluatedWeek, MetricsTables, intervals_table, read_weeks, write_weeks

CUTOFF = datetime(2017, 3, 1, tzinfo=UTC)


def week(number: int = 0, **metrics: list[float]) -> EvaluatedWeek:
    """Two users; `final` has the metrics, `popular` a constant, and no coverage of creators."""
    users = np.array([4, 7], np.int32)
    per_user = {name: np.array(values) for name, values in (metrics or {"ndcg_at_20": [1.0, 0.0]}).items()}
    means = {name: float(values.mean()) for name, values in per_user.items()}
    methods = [
        MethodMetrics("popular", 2, {"ndcg_at_20": np.array([0.25, 0.25])}, {"ndcg_at_20": 0.25}),
        MethodMetrics("final", 2, per_user, {**means, "coverage_at_20": 0.5}),
    ]
    cutoff = CUTOFF.replace(day=1 + 7 * number)
    return EvaluatedWeek(users, methods, cutoff, 0.75, {"region": np.array(["SP", "TX"], object)})


def test_weeks_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_weeks([week(0), week(1, ndcg_at_20=[0.5, 0.5], mrr_at_20=[1.0, 0.25])], tmp_path / "metrics")
    first, second = read_weeks(tmp_path / "metrics")
    assert (first.cutoff, second.cutoff) == (CUTOFF, CUTOFF.replace(day=8))
    assert first.users.tolist() == second.users.tolist() == [4, 7]
    assert (first.candidate_recall, first.segments["region"].tolist()) == (0.75, ["SP", "TX"])
    assert [method.name for method in first.methods] == ["popular", "final"]
    assert first.named["final"].values("ndcg_at_20").tolist() == [1.0, 0.0]
    assert second.named["final"].values("mrr_at_20").tolist() == [1.0, 0.25]
    assert second.named["final"].means == {"ndcg_at_20": 0.5, "mrr_at_20": 0.625, "coverage_at_20": 0.5}


def test_a_metric_that_a_method_lacks_stays_absent(tmp_path: Path) -> None:
    write_weeks([week(0, ndcg_at_20=[1.0, 0.0], mrr_at_20=[1.0, 0.0])], tmp_path)
    assert set(read_weeks(tmp_path)[0].named["popular"].per_user) == {"ndcg_at_20"}


def test_a_week_without_a_user_is_valid_json_and_read_back(tmp_path: Path) -> None:
    method = MethodMetrics("final", 0, {"ndcg_at_20": np.zeros(0)}, {"ndcg_at_20": np.nan})
    no_user = {"region": np.array([], object)}
    write_weeks([EvaluatedWeek(np.array([], np.int32), [method], CUTOFF, np.nan, no_user)], tmp_path)
    assert "NaN" not in (tmp_path / "means.json").read_text()
    (read,) = read_weeks(tmp_path)
    assert np.isnan([read.candidate_recall, read.named["final"].means["ndcg_at_20"]]).all()


def test_nothing_written_is_no_week(tmp_path: Path) -> None:
    assert read_weeks(tmp_path / "rehearsals") == []


def test_the_files_hold_numbers_of_users_and_no_id(tmp_path: Path) -> None:
    write_weeks([week()], tmp_path)
    rows = pl.read_parquet(tmp_path / "per_user.parquet")
    assert rows.columns == ["week", "method", "person", "ndcg_at_20"]
    assert pl.read_parquet(tmp_path / "groups.parquet").columns == ["week", "region"]


def test_intervals_hold_the_mean_of_each_method() -> None:
    table = intervals_table([week(), week(1)], ["ndcg_at_20", "recall_at_200"], confidence=0.95, seed=7)
    assert table.select("method", "metric").rows() == [("popular", "ndcg_at_20"), ("final", "ndcg_at_20")]
    popular, final = table.to_dicts()
    assert [popular[name] for name in ("low", "mean", "high")] == pytest.approx([0.25] * 3)
    assert final["mean"] == pytest.approx(0.5)
    assert final["low"] <= 0.5 <= final["high"]


def test_a_metric_without_a_measured_user_has_no_interval() -> None:
    table = intervals_table([week(ndcg_at_20=[np.nan, np.nan])], ["ndcg_at_20"], confidence=0.95, seed=7)
    assert table["method"].to_list() == ["popular"]


def tables() -> MetricsTables:
    means = pl.DataFrame({"method": ["final"], "users": [2], "ndcg_at_20": [0.5], "mrr_at_20": [None]})
    intervals = pl.DataFrame(
        {"method": ["final"], "metric": ["ndcg_at_20"], "mean": [0.5], "low": [0.25], "high": [None]},
        schema_overrides={"high": pl.Float64},
    )
    return MetricsTables(means, intervals, pl.DataFrame(), pl.DataFrame())


def test_flat_names_are_those_that_mlflow_shows() -> None:
    assert tables().flat == {"final/ndcg_at_20": 0.5, "final/ndcg_at_20_low": 0.25}


def test_every_table_is_an_artifact_of_its_name() -> None:
    assert list(tables().named) == ["metrics", "intervals", "people", "items"]
