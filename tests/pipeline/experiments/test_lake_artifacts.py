"""Artifacts lie beside the database of a lake, wherever the lake lies; a tracking server keeps its own."""

import os
import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from contracts import Settings
from pipeline.experiments.lake_artifacts import make_portable, repository
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.lake import Lake

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")


def logger(folder: Path) -> MlflowLogger:
    return MlflowLogger(Settings(mlflow_tracking_uri=""), Lake(folder))


def locations(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return "\n".join(connection.iterdump())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with one run and one file."""
    folder = tmp_path_factory.mktemp("portable") / "original"
    folder.mkdir()
    tracking = logger(folder)
    tracking.artifact(tracking.start("first"), "note.txt", "of the original")
    return folder


def only_run(folder: Path) -> str:
    client = logger(folder).client
    return str(
        client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])[0].info.run_id
    )


def test_no_location_in_the_database_is_absolute(original: Path) -> None:
    assert str(original) not in locations(original)
    assert str(Path.cwd()) not in locations(original)


def test_a_copy_writes_into_itself(original: Path, tmp_path: Path) -> None:
    before = sorted(original.rglob("*"))
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    tracking = logger(copy)
    run = tracking.start("second")
    tracking.artifact(run, "note.txt", "of the copy")
    assert (copy / "mlartifacts" / run / "artifacts" / "note.txt").read_text() == "of the copy"
    assert sorted(original.rglob("*")) == before


def test_a_moved_lake_has_its_files(original: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(original, tmp_path / "there"))
    repository_of_run = repository(f"mlflow-artifacts:/{only_run(moved)}/artifacts", f"sqlite:///{moved}/mlflow.db")
    assert [file.path for file in repository_of_run.list_artifacts()] == ["note.txt"]
    assert Path(repository_of_run.download_artifacts("note.txt")).is_relative_to(moved)


def test_a_lake_of_an_earlier_version_becomes_portable(original: Path, tmp_path: Path) -> None:
    """It had been moved since: its database names a folder that is gone."""
    old = Path(shutil.copytree(original, tmp_path / "old"))
    with closing(sqlite3.connect(old / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = '/gone/lake/mlartifacts' WHERE name = 'nightly'")
        connection.execute(
            "UPDATE runs SET artifact_uri = replace(artifact_uri, 'mlflow-artifacts:', '/gone/lake/mlartifacts')"
        )
    assert "/gone/lake/mlartifacts" in locations(old)
    make_portable(old / "mlflow.db")
    assert locations(old) == locations(original)


def test_a_tracking_server_resolves_its_own_artifacts() -> None:
    of_server = repository("mlflow-artifacts:/1/artifacts", "http://127.0.0.1:9")
    assert isinstance(of_server, MlflowArtifactsRepository)
    assert of_server.artifact_uri == "http://127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/1/artifacts"


def test_mlflow_finds_the_repository_among_its_plugins() -> None:
    """In a process that imports nothing of tastefeed."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    plugins = project["entry-points"]["mlflow.artifact_repository"]
    assert plugins == {"mlflow-artifacts": f"{repository.__module__}:{repository.__name__}"}


def test_mlflow_does_not_report_its_use() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_any_client_of_mlflow_reads_them(original: Path, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{original}/mlflow.db")
    path = client.download_artifacts(only_run(original), "note.txt", str(tmp_path))
    assert Path(path).read_text() == "of the original"
