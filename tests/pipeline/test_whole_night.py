"""What a whole night leaves behind: tables, runs in MLflow, a release, and printed text."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking._tracking_service.utils import _use_tracking_uri as use_store

from contracts import Settings
from contracts.schemas import DERIVED
from pipeline.code_version import UNKNOWN, git_commit
from pipeline.experiments.mlflow_logger import flattened
from pipeline.lake import Lake
from pipeline.run_context import NightConfig
from pipeline.stages import STAGE_NAMES
from serving.releases import publish
from tests import tiny

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")

BASELINES = {"newest_first", "popular_1d", "popular_7d", "popular_28d", "item_knn", "ials"}
OURS = {"two_tower", "reranked", "final"}


@pytest.fixture(scope="module")
def mlflow(crossed: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{crossed}/mlflow.db")


def test_every_table_has_its_schema(crossed: Path) -> None:
    lake = Lake(crossed)
    for table, schema in DERIVED.items():
        stored = lake.dataset(table, tiny.day()).schema
        assert stored.names == schema.names, table


def test_it_prints_what_it_made(crossed: Path) -> None:
    output = (crossed / "printed.txt").read_text()
    for word in (*STAGE_NAMES, *BASELINES, *OURS, "release", "feed 5", "futebol number"):
        assert word in output, word
    assert "-zq" not in output, "a user id was printed"


def test_mlflow_holds_a_parent_with_its_children_and_their_figures(mlflow: MlflowClient) -> None:
    experiment = mlflow.get_experiment_by_name("nightly")
    runs = mlflow.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if run.info.run_name.startswith("night "))
    children = {run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert set(children) == {"retrieval", "ranking", *BASELINES, *OURS}
    assert {run.info.status for run in (parent, *children.values())} == {"FINISHED"}
    for method in BASELINES | OURS:
        assert parent.data.metrics[f"ndcg_at_20/{method}"] == children[method].data.metrics["ndcg_at_20"]
    assert parent.data.metrics["final/ndcg_at_20_low"] == children["final"].data.metrics["ndcg_at_20_low"]
    assert parent.data.metrics["data/ingested"] == parent.data.metrics["data/kept"] > 1000
    groups = {name.split("/")[0] for name in parent.data.metrics}
    assert groups == {"final", "ndcg_at_20", "retrieval", "two_tower", "reranker", "data", "gate"}
    assert len(parent.data.metrics) < 60
    assert len(mlflow.get_metric_history(children["retrieval"].info.run_id, "loss")) >= 3


def parent_of(mlflow: MlflowClient) -> Run:
    experiment = mlflow.get_experiment_by_name("nightly")
    return next(run for run in mlflow.search_runs([experiment.experiment_id]) if run.info.run_name.startswith("night "))


def test_the_run_records_its_code_its_data_and_intervals(mlflow: MlflowClient) -> None:
    parent = parent_of(mlflow)
    assert parent.data.tags["mlflow.source.git.commit"] == git_commit() != UNKNOWN
    assert parent.data.tags["gates"] == "passed"
    assert parent.data.tags["release"].startswith(str(tiny.day()))
    assert parent.data.tags["release_serves"] == "True"
    figures = parent.data.metrics
    assert figures["final/ndcg_at_20_low"] < figures["final/ndcg_at_20"] < figures["final/ndcg_at_20_high"]
    inputs = {each.dataset.name: each for each in parent.inputs.dataset_inputs}
    assert set(inputs) == {"events", "items", "users", "held_out_labels"}
    assert all(len(each.dataset.digest) >= 12 for each in inputs.values())
    assert {each.tags[0].value for each in inputs.values()} == {"training", "evaluation"}


def test_the_run_has_every_setting_and_names_those_that_differ(mlflow: MlflowClient) -> None:
    parent = parent_of(mlflow)
    names = {name for name, _ in flattened({**Settings().model_dump(), **NightConfig().model_dump()})}
    assert names | {"as_of", "code"} == set(parent.data.params)
    assert parent.data.params["label_weeks"] == tiny.FAST["TASTEFEED_LABEL_WEEKS"]
    assert parent.data.params["two_tower.embedding_size"] == "8"
    assert parent.data.params["lake"] == "set"
    assert parent.data.params["admin_keys"] == "default"
    changed = parent.data.tags["tastefeed.changed_settings"]
    assert "two_tower.embedding_size=8" in changed
    assert "lake" not in changed.replace("label", "")
    assert changed in parent.data.tags["mlflow.note.content"]
    assert "NDCG@20" in parent.data.tags["mlflow.note.content"]


def test_registered_models_explain_themselves_and_run(crossed: Path, tmp_path: Path) -> None:
    from mlflow.pyfunc import load_model

    shutil.copytree(crossed / "mlartifacts", tmp_path / "mlartifacts")  # MLflow adds a file to what it loads
    mlflow = MlflowClient(f"sqlite:///{shutil.copy(crossed / 'mlflow.db', tmp_path)}")
    with use_store(mlflow.tracking_uri):
        for name in ("two_tower", "reranker"):
            version = mlflow.get_model_version_by_alias(name, "champion")
            assert f"of the night {tiny.day()}" in version.description
            assert 0 <= float(version.tags["ndcg_at_20"]) <= 1
            assert version.tags["release"].startswith(str(tiny.day()))
            assert mlflow.get_registered_model(name).description
            logged = mlflow.get_logged_model(version.source.removeprefix("models:/"))
            assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": name, "version": str(version.version)}]
            outputs = mlflow.get_run(version.run_id).outputs.model_outputs
            assert [output.model_id for output in outputs] == [logged.model_id]
            assert f"{name}/ndcg_at_20" in {metric.key for metric in logged.metrics}
            model = load_model(f"models:/{name}@champion")
            assert model.metadata.signature.inputs.input_names()
            example = model.input_example
            assert "person-" not in example.to_json()
            answer = model.predict(example)
            assert len(answer) == len(example)
            assert np.isfinite(answer).all()


def test_slices_gates_and_curves_are_kept_with_the_runs(mlflow: MlflowClient, tmp_path: Path) -> None:
    parent = parent_of(mlflow)
    kept = {file.path for file in mlflow.list_artifacts(parent.info.run_id)}
    tables = ("metrics", "intervals", "people", "items", "gates")
    assert kept == {f"{name}.{kind}" for name in tables for kind in ("md", "json")}
    by_segment = pl.read_json(mlflow.download_artifacts(parent.info.run_id, "people.json", str(tmp_path)))
    final = by_segment.filter(method="final")
    assert set(final["slice"]) == {"tenure", "history", "language", "region"}
    assert set(final.filter(slice="language")["group"]) == set(tiny.LANGUAGES), "as clicked items: users state none"
    assert set(final.filter(slice="region")["group"]) == {"SP", "TX"}
    assert final["users"].min() >= 5
    items = pl.read_json(mlflow.download_artifacts(parent.info.run_id, "items.json", str(tmp_path)))
    assert set(items["group"]) <= {"new", "older", "popular", "tail"}
    assert set(items["method"]) == BASELINES | OURS
    children = mlflow.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    trained = [child for child in children if child.info.run_name in ("retrieval", "ranking")]
    assert len(trained) == 2
    for child in trained:
        assert "curves.svg" in {file.path for file in mlflow.list_artifacts(child.info.run_id)}
        rates = mlflow.get_metric_history(child.info.run_id, "learning_rate")
        assert len(rates) >= 3
        assert all(rate.value > 0 for rate in rates)


def test_the_gate_made_the_challengers_champions(mlflow: MlflowClient) -> None:
    for model in ("two_tower", "reranker"):
        champion = mlflow.get_model_version_by_alias(model, "champion")
        assert champion.version == mlflow.get_model_version_by_alias(model, "challenger").version


def test_no_user_id_reaches_mlflow_or_airflow(crossed: Path) -> None:
    logged_files = [crossed / "mlflow.db", *(crossed / "mlartifacts").rglob("*"), *(crossed / ".airflow").rglob("*")]
    logged_files += list((crossed / "nights").rglob("*.json"))
    for path in logged_files:
        if path.is_file():
            assert b"-zq" not in path.read_bytes(), path


def test_no_pickle_is_anywhere(crossed: Path) -> None:
    released = [path.suffix for path in (crossed / "releases").rglob("*") if path.is_file()]
    kept = [path.suffix for path in (crossed / "mlartifacts").rglob("*") if path.is_file()]
    assert not {".pkl", ".pickle", ".pt", ".pth", ".joblib"} & {*released, *kept}


def test_a_release_records_how_it_was_measured(crossed: Path) -> None:
    metrics = publish.load(crossed / "releases").metrics
    assert {row["method"] for row in metrics["methods"]} == BASELINES | OURS
    assert metrics["judged"] is True
    assert all(sentence.startswith("passed") for sentence in metrics["gates"])
    assert all(verdict["passed"] for verdict in metrics["verdicts"])
    assert {"reranked_beats_two_tower", "two_tower_beats_item_knn", "index_recall"} <= {
        verdict["gate"] for verdict in metrics["verdicts"]
    }
    assert metrics["thresholds"]["max_slice_loss"] == 0.2
    assert metrics["not_judged"] == ["no champion is compared: no release serves yet"]
    assert {row["slice"] for row in metrics["people"]} == {"tenure", "history", "language", "region"}
    json.dumps(metrics, allow_nan=False)


def test_recommend_writes_a_list_for_each_user(crossed: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    done = tiny.tastefeed("recommend", "--lake", crossed, "--k", 5, "--out", out, **tiny.covered())
    assert done.returncode == 0, done.stderr
    lists = pq.read_table(out)
    assert lists.column_names == ["user_id", "item_id", "rank", "score", "source"]
    assert len(set(lists["user_id"].to_pylist())) == tiny.USERS
    assert max(lists["rank"].to_pylist()) == 5


def test_releases_are_listed_verified_and_rolled_back(crossed: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(crossed, lake)
    version = publish.current(lake / "releases")
    assert f"* {version}" in tiny.tastefeed_here("releases", "list", "--lake", lake).stdout
    assert tiny.tastefeed_here("releases", "verify", "--lake", lake).stdout == f"{version} is whole\n"
    alone = tiny.tastefeed_here("releases", "rollback", "--lake", lake)
    assert alone.returncode == 1
    assert "there is no release older than" in alone.stderr
    (lake / "releases" / version / "ranker.txt").write_text("tampered")
    broken = tiny.tastefeed_here("releases", "verify", "--lake", lake)
    assert broken.returncode == 1
    assert broken.stderr.count("\n") == 1
    assert "ranker.txt" in broken.stderr
