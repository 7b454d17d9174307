"""The methods of a night can be compared as well, and what they keep for it names no user."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts import Settings
from evaluation.anonymized_metrics import anonymized, week_metrics
from evaluation.fingerprint import EvaluationFingerprint
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.experiments.run_log import MethodRecord, log_method
from pipeline.lake import Lake
from tests import tiny

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_final_ranking_is_compared_with_a_baseline(crossed: Path) -> None:
    done = tiny.tastefeed_here("compare", "nightly/popular_28d", "nightly/final", "--lake", crossed)
    assert done.returncode == 0, done.stderr
    assert f"One question: night {tiny.day()}, k 20" in done.stdout
    assert "B is better than A by +" in done.stdout
    assert "region: SP" in done.stdout
    assert "region: TX" in done.stdout
    assert "tenure" not in done.stdout  # all users are known: one group of all is left out


def test_without_runs_it_lists_those_that_can_be_compared(crossed: Path) -> None:
    done = tiny.tastefeed_here("compare", "--lake", crossed)
    assert done.returncode == 0, done.stderr
    for name in ("nightly/final", "nightly/two_tower", "nightly/newest_first", "ndcg_at_20"):
        assert name in done.stdout
    assert "nightly/retrieval" not in done.stdout  # it keeps a model, not per-user metrics


def test_one_run_alone_is_wrong_usage(crossed: Path) -> None:
    assert tiny.tastefeed_here("compare", "nightly/final", "--lake", crossed).returncode == 2


def test_per_user_metrics_name_no_user(crossed: Path) -> None:
    per_user = list((crossed / "mlartifacts").rglob("marks.parquet"))
    assert len(per_user) >= 9  # one a method
    for path in per_user:
        assert "-zq" not in pl.read_parquet(path).write_json()


def test_a_night_that_measured_no_user_keeps_empty_per_user_metrics(tmp_path: Path) -> None:
    no_users, none = pl.Series([], dtype=pl.String), np.zeros(0)
    week = week_metrics(no_users, {"ndcg_at_20": none}, users={"region": np.array([], np.str_)}, items={})
    tracking = MlflowLogger(Settings(), Lake(tmp_path))
    run = tracking.start("final")
    log_method(
        tracking,
        run,
        MethodRecord(EvaluationFingerprint("night", "a", "b", "c", 20), anonymized([week]), "ndcg_at_20"),
        seed=7,
    )
    kept = pl.read_parquet(tmp_path / "mlartifacts" / run / "artifacts" / "marks.parquet")
    assert kept.columns == ["week", "person", "ndcg_at_20", "users/region"]
    assert kept.height == 0
    assert "ndcg_at_20.low" not in tracking.client.get_run(run).data.metrics
