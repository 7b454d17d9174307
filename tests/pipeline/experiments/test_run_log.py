"""A method's run holds what a comparison needs, by user but without any id."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts.errors import NotComparable
from evaluation import MethodMetrics
from evaluation.anonymized_metrics import anonymized, week_metrics
from evaluation.fingerprint import EvaluationFingerprint
from pipeline.evaluation_lists import K, holdout_at, read_evaluation_data
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.experiments.run_log import (
    LoggedRun,
    MethodRecord,
    interval_bounds,
    log_method,
    log_methods,
    night_fingerprint,
    segment_means,
    segment_metrics,
)
from pipeline.feature_assembly import read_ingested_tables
from pipeline.metrics_store import EvaluatedWeek
from tests.pipeline.handmade_lake import CUTOFF, handmade

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")
FINGERPRINT = EvaluationFingerprint("night 2017-03-01", "a" * 64, "b" * 64, "c" * 64, 20)
USERS = 12


def per_user(weeks: int = 1) -> pl.DataFrame:
    """Twelve users: half of them find all, half of them nothing; half live in SP; a third has labels in the tail."""
    ids = pl.Series([f"user-{number:02}-zq" for number in range(USERS)])
    ndcg = np.repeat([1.0, 0.0], USERS // 2)
    tail = np.where(np.arange(USERS) % 2 == 0, 0.5, np.nan)
    regions = np.array(["SP", "TX"] * (USERS // 2))
    week = week_metrics(
        ids, {"ndcg_at_20": ndcg, "coverage_at_20": ndcg}, users={"region": regions}, items={"tail": tail}
    )
    return anonymized([week] * weeks)


@pytest.fixture
def logged(mlflow: MlflowLogger) -> LoggedRun:
    parent = mlflow.start("night")
    mlflow.params(parent, {"seed": 7, "command": "tastefeed nightly", "counts": {"users": 12}})
    run = mlflow.start("final", parent)
    mlflow.params(run, {"method": "final"})
    record = MethodRecord(FINGERPRINT, per_user(), "ndcg_at_20", {"loss": [2.0, 1.0]})
    log_method(mlflow, run, record, seed=7)
    return LoggedRun(mlflow.client, mlflow.client.get_run(run))


def test_a_record_is_read_back_as_it_was_logged(logged: LoggedRun, request: pytest.FixtureRequest) -> None:
    assert logged.fingerprint == FINGERPRINT
    assert logged.metric == "ndcg_at_20"
    assert logged.path == f"{request.node.name}/final"
    assert logged.per_user.equals(per_user())
    assert logged.run.data.metrics["ndcg_at_20_low"] < 0.5 < logged.run.data.metrics["ndcg_at_20_high"]
    assert logged.run.data.metrics["segment/region.SP"] == 0.5


def test_settings_are_those_of_the_run_its_parent_and_its_code(logged: LoggedRun) -> None:
    assert set(logged.settings) == {"method", "seed", "commit"}


def test_no_file_of_a_run_holds_an_id(logged: LoggedRun, store: Path) -> None:
    run = logged.run.info.run_id
    files = [path for path in (store / "mlartifacts" / run).rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"marks.parquet", "slices.csv", "curves.svg"}
    assert all(b"-zq" not in path.read_bytes() for path in files)
    assert "-zq" not in logged.per_user.write_json()


def test_a_run_whose_file_is_gone_cannot_be_compared(logged: LoggedRun, store: Path) -> None:
    next((store / "mlartifacts" / logged.run.info.run_id).rglob("marks.parquet")).unlink()
    with pytest.raises(NotComparable, match=f"run {logged.run.info.run_id} has lost its marks.parquet"):
        _ = logged.per_user


def test_only_metrics_of_quality_have_intervals() -> None:
    assert set(interval_bounds(per_user(), seed=7)) == {"ndcg_at_20_low", "ndcg_at_20_high"}


def test_intervals_are_over_users_so_a_second_equal_week_makes_none_narrower() -> None:
    one, two = interval_bounds(per_user(), seed=7), interval_bounds(per_user(weeks=2), seed=7)
    assert two == pytest.approx(one)


def test_segments_of_items_stand_beside_those_of_users() -> None:
    means = segment_means(per_user())
    assert means.select("slice", "group", "users").rows() == [
        ("region", "SP", 6),
        ("region", "TX", 6),
        ("items", "tail", 6),
    ]
    assert segment_metrics(means, "ndcg_at_20") == {"segment/region.SP": 0.5, "segment/region.TX": 0.5}


def test_a_segment_of_items_with_too_few_users_is_hidden() -> None:
    rows = per_user().with_columns(pl.when(pl.int_range(pl.len()) < 4).then(pl.lit(0.5)).alias("items/tail"))
    assert "items" not in segment_means(rows)["slice"].to_list()


def test_every_method_of_a_night_is_a_child_run_with_the_same_fingerprint(mlflow: MlflowLogger, tmp_path: Path) -> None:
    night = handmade(tmp_path)
    vars(night)["mlflow"] = mlflow
    night.write_summary("forget", {"mlflow_run": mlflow.start("night")})
    night.write_summary("events", {"fingerprint": "abc"})
    ingested = read_ingested_tables(night)
    data = read_evaluation_data(night, ingested, np.zeros((len(ingested.items), 1), np.float32))
    holdout = holdout_at(night, data, CUTOFF)
    methods = [MethodMetrics(name, 2, {f"ndcg_at_{K}": np.array([1.0, 0.5])}, {f"ndcg_at_{K}": 0.75}) for name in "ab"]
    regions = {"region": np.array(["SP", "SP"], object)}
    week = EvaluatedWeek(holdout.user_rows, methods, datetime(2017, 3, 1, tzinfo=UTC), 1.0, regions)
    printed = {"method": ["a"], "metric": [f"ndcg_at_{K}"], "low": [0.4], "high": [0.9]}
    log_methods(night, data, [(week, holdout)], pl.DataFrame(printed), k=K)
    runs = mlflow.client.search_runs([mlflow.experiment_id], f"tags.mlflow.parentRunId = '{night.mlflow_run}'")
    assert {run.info.run_name for run in runs} == {"a", "b"}
    bounds = next(run for run in runs if run.info.run_name == "a").data.metrics
    assert (bounds[f"ndcg_at_{K}_low"], bounds[f"ndcg_at_{K}_high"]) == (0.4, 0.9), "as the night prints them"
    logged = [LoggedRun(mlflow.client, run) for run in runs]
    fingerprint = night_fingerprint(night, data, [holdout], K)
    assert [each.fingerprint for each in logged] == [fingerprint] * 2
    assert fingerprint.dataset == "night 2017-03-08"
    assert logged[0].run.info.status == "FINISHED"
    assert logged[0].run.data.metrics[f"ndcg_at_{K}"] == 0.75
    assert logged[0].per_user[f"ndcg_at_{K}"].sort().to_list() == [0.5, 1.0]


def test_other_labels_or_users_give_another_fingerprint(tmp_path: Path) -> None:
    night = handmade(tmp_path)
    night.write_summary("events", {"fingerprint": "abc"})

    def fingerprint() -> EvaluationFingerprint:
        ingested = read_ingested_tables(night)
        data = read_evaluation_data(night, ingested, np.zeros((len(ingested.items), 1), np.float32))
        return night_fingerprint(night, data, [holdout_at(night, data, CUTOFF)], K)

    before = fingerprint()
    assert fingerprint() == before
    night.opt_outs.set("user", "u1", "training")
    assert {"test", "users"} <= {name for name, value in fingerprint().parts.items() if value != before.parts[name]}
