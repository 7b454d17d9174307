"""The methods of a night can be compared as well, and what they keep for it names no user."""

from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from contracts import Settings
from contracts.errors import NotComparable, UnknownRun
from evaluation import Comparison
from evaluation.anonymized_metrics import anonymized, week_metrics
from evaluation.fingerprint import EvaluationFingerprint
from pipeline.experiments.compare import (
    MOST_LISTED,
    Compared,
    comparable_runs,
    differing_settings,
    find_run,
    started,
    stores,
)
from pipeline.experiments.compare_screen import runs_table
from pipeline.experiments.mlflow_logger import LABEL, MlflowLogger
from pipeline.experiments.run_log import LoggedRun, MethodRecord, log_method
from pipeline.lake import Lake
from tests import tiny
from tests.pipeline.experiments.test_run_log import FINGERPRINT, per_user

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
    assert "ndcg_at_20_low" not in tracking.client.get_run(run).data.metrics


def comparable(mlflow: MlflowLogger, name: str, parent: str | None = None) -> str:
    run = mlflow.start(name, parent)
    log_method(mlflow, run, MethodRecord(FINGERPRINT, per_user(), "ndcg_at_20"), seed=7)
    mlflow.metrics(run, {"ndcg_at_20": 0.5})
    return run


def found(mlflow: MlflowLogger, name: str) -> LoggedRun:
    return find_run(name, [mlflow.client])


def test_an_id_or_its_beginning_finds_a_run(mlflow: MlflowLogger) -> None:
    run = comparable(mlflow, "final")
    assert found(mlflow, run).run.info.run_id == run
    assert found(mlflow, run[:16]).run.info.run_id == run


def test_a_name_finds_the_newest_run_of_its_experiment(mlflow: MlflowLogger, request: pytest.FixtureRequest) -> None:
    runs = [comparable(mlflow, "final") for _ in range(2)]
    name = f"{request.node.name}/final"
    assert found(mlflow, name).run.info.run_id in runs
    newest = max(runs, key=lambda run: mlflow.client.get_run(run).info.start_time)
    assert found(mlflow, name).run.info.start_time == mlflow.client.get_run(newest).info.start_time


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/final", "nowhere/final: no such run; `tastefeed compare` without runs lists those"),
        ("ffffffff", "ffffffff: no such run"),
        ("abc", "abc: give a run's id, at least 4 characters of it, or experiment/name"),
        ("ab_cd", "ab_cd: give a run's id"),
    ],
)
def test_the_error_for_an_absent_run_explains_how_to_name_one(mlflow: MlflowLogger, name: str, message: str) -> None:
    with pytest.raises(UnknownRun, match=message):
        found(mlflow, name)


def test_a_quote_in_a_name_is_refused(mlflow: MlflowLogger, request: pytest.FixtureRequest) -> None:
    comparable(mlflow, "final")
    with pytest.raises(UnknownRun, match="it's: a name with a quote cannot be searched for; give the run's id"):
        found(mlflow, f"{request.node.name}/it's")


def test_a_parent_names_its_methods_instead(mlflow: MlflowLogger) -> None:
    parent = mlflow.start("night")
    with pytest.raises(NotComparable, match="run 'night' holds no per-user metrics; run it again to have them"):
        found(mlflow, parent)
    child = comparable(mlflow, "popular", parent)
    with pytest.raises(NotComparable, match=f"compare one of its methods: popular {child[:8]}"):
        found(mlflow, parent)
    final = comparable(mlflow, "final", parent)
    assert found(mlflow, parent).run.info.run_id == final, "a night stands for its final list"


def test_a_label_names_the_newest_night_that_has_it(mlflow: MlflowLogger) -> None:
    runs = [comparable(mlflow, name) for name in ("final", "popular")]
    for run in runs:
        mlflow.tags(run, {LABEL: "no diversity"})
    assert found(mlflow, "no diversity").run.info.run_id == runs[0]
    assert found(mlflow, "no diversity/popular").run.info.run_id == runs[1]


def test_runs_of_one_name_show_the_settings_in_which_they_differ(mlflow: MlflowLogger) -> None:
    runs = [comparable(mlflow, "ials") for _ in range(2)]
    for run, epochs in zip(runs, (3, 5), strict=True):
        mlflow.params(run, {"config": {"epochs": epochs, "factors": 8}})
    logged = [LoggedRun(mlflow.client, mlflow.client.get_run(run)) for run in [*runs, comparable(mlflow, "ease")]]
    assert differing_settings(logged) == ["epochs=3", "epochs=5", ""]


def test_a_setting_that_an_older_version_lacks_comes_after_those_that_differ(mlflow: MlflowLogger) -> None:
    older, newer = (comparable(mlflow, "final") for _ in range(2))
    mlflow.params(older, {"epochs": 3})
    mlflow.params(newer, {"added": "text", "epochs": 5})
    a, b = (LoggedRun(mlflow.client, mlflow.client.get_run(run)) for run in (older, newer))
    assert differing_settings([a, b]) == ["epochs=3", "epochs=5"]
    compared = Compared(a, b, Comparison("", (), ()))
    assert compared.settings == [("epochs", "3", "5"), ("added", "–", "text")]


def test_comparable_runs_are_listed_newest_first_and_others_left_out(mlflow: MlflowLogger) -> None:
    mlflow.start("retrieval")
    runs = [comparable(mlflow, name) for name in ("popular", "final")]
    table = comparable_runs([mlflow.client], most=1000)
    ours = table.filter(table["run"].is_in([run[:8] for run in runs]))
    assert sorted(ours["name"].str.split("/").list.last()) == ["final", "popular"]
    assert set(ours["question"]) == {FINGERPRINT.digest[:8]}
    assert set(ours["mean"]) == {0.5}
    assert table["started"].is_sorted(descending=True)
    assert len(comparable_runs([mlflow.client], most=1)) == 1


def test_the_list_shows_whole_names_and_that_older_runs_are_left_out() -> None:
    row = {"run": "0123abcd", "name": "nightly/most_popular_ever", "label": "", "differs": "a=" + "1" * 90}
    console = Console(width=80, record=True, file=StringIO())
    console.print(runs_table(pl.DataFrame([row] * MOST_LISTED)))
    text = console.export_text()
    assert text.count("nightly/most_popular_ever") == MOST_LISTED
    assert f"The newest {MOST_LISTED} runs" in text
    console.print(runs_table(pl.DataFrame([row])))
    assert "newest" not in console.export_text()


def test_the_time_of_a_run_is_utc_to_the_minute(mlflow: MlflowLogger) -> None:
    run = mlflow.client.get_run(mlflow.start("final"))
    run.info._start_time = 1_488_326_400_000
    assert started(run) == "2017-03-01 00:00"


def test_a_folder_without_runs_is_named_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(UnknownRun, match=f"{tmp_path}: holds no mlflow.db; give the lake of a night or the --out"):
        stores([str(tmp_path)], "", Settings())
    assert list(tmp_path.iterdir()) == []


def test_each_folder_is_a_store_and_a_uri_is_the_only_one(mlflow: MlflowLogger, store: Path) -> None:
    mlflow.start("final")
    assert len(stores([str(store), str(store)], "", Settings())) == 2
    assert len(stores([str(store)], "http://127.0.0.1:9", Settings())) == 1
    assert len(stores([], "", Settings(lake=str(store)))) == 1
