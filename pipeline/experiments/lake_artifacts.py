"""The artifacts of a lake's own MLflow store: files beside its database, wherever the lake lies.

MLflow stores the absolute location of an experiment's artifacts. A copied lake would write into the original, and a
moved lake would lose its artifacts. So the experiments of a lake have the location `mlflow-artifacts:/`, which MLflow
resolves when it reads: `mlflow ui --artifacts-destination LAKE/mlartifacts` does so in a server. In a process without a
server, `repository` does, for MLflow finds it among its plugins.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

DATABASE, FOLDER = "mlflow.db", "mlartifacts"
SCHEME = "mlflow-artifacts"
LOCATION = f"{SCHEME}:/"
SQLITE = "sqlite:///"
STORED_LOCATIONS = {
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "experiments": ("artifact_location",),
}
"""The columns of MLflow's tables that contain locations."""
ABSOLUTE = """
SELECT DISTINCT artifact_location FROM experiments
WHERE artifact_location NOT LIKE ? AND (artifact_location LIKE ? OR name = 'Default')
"""


def repository(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> ArtifactRepository:
    """The folder beside an SQLite file, else the artifacts of the tracking server."""
    store = tracking_uri or mlflow.get_tracking_uri()
    if not store.startswith(SQLITE):
        return MlflowArtifactsRepository(artifact_uri, store, registry_uri)
    path = urlsplit(artifact_uri).path.lstrip("/")
    return LocalArtifactRepository(str(Path(store.removeprefix(SQLITE)).parent / FOLDER / path))


def register() -> None:
    """Let every MLflow client of this process use `repository`."""
    _artifact_repository_registry.register(SCHEME, repository)


def make_portable(database: Path) -> None:
    """Replace the absolute locations that earlier versions stored in a lake's database, and that of the experiment
    `Default`, which MLflow places in the working directory."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for (root,) in connection.execute(ABSOLUTE, (f"{LOCATION}%", f"%/{FOLDER}")).fetchall():
            _replace_root(connection, root)


def _replace_root(connection: sqlite3.Connection, root: str) -> None:
    for table, columns in STORED_LOCATIONS.items():
        for column in columns:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || ltrim(substr({column}, ?), '/') "  # noqa: S608  names of this module
                f"WHERE substr({column}, 1, ?) = ?",
                (LOCATION, len(root) + 1, len(root), root),
            )
