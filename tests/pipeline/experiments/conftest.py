"""One MLflow store for every test of this folder: making its database takes seconds."""

from pathlib import Path

import pytest

from contracts import Settings
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.lake import Lake


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a lake whose runs the tests write."""
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture
def mlflow(store: Path, request: pytest.FixtureRequest) -> MlflowLogger:
    """A logger with an experiment of its own for each test."""
    return MlflowLogger(Settings(mlflow_tracking_uri=""), Lake(store), experiment=request.node.name)
