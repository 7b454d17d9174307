"""The models of a night in MLflow: files, signature, input example, description and metrics; challenger and champion.

A model is a plain folder (safetensors, LightGBM's text), so nothing is a pickle. MLflow loads it with `_load_pyfunc`:
what `mlflow.pyfunc.load_model("models:/two_tower@champion")` returns embeds items, and `models:/reranker@champion`
scores rows of features. An input example is invented, never taken from the data.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.models.utils import _save_example
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS
from mlflow.utils.time import get_current_time_millis
from numpy.typing import NDArray

from contracts import columns as c
from models.two_tower.exported import load as load_tower
from pipeline.experiments.mlflow_logger import MlflowLogger
from ranking.reranker import Reranker

if TYPE_CHECKING:
    from pipeline.run_context import Summary

TWO_TOWER, RERANKER = "two_tower", "reranker"
RANKER = "ranker.txt"
ABOUT = {
    TWO_TOWER: "Retrieval: embeds users and items. A version a night; `champion` is in the release that serves.",
    RERANKER: "Scores candidates by features. A version a night; `champion` is in the release that serves.",
}
"""The description of each registered model."""
CHALLENGER, CHAMPION = "challenger", "champion"
AS_OF = "as_of"
EXAMPLE_DAY = datetime(2017, 3, 1, tzinfo=UTC)
EXAMPLE_ITEMS = pd.DataFrame(
    {c.ITEM_ID: ["example-1", "example-2"], c.TITLE: ["How to grow tomatoes on a balcony", "Uma história do futebol"]}
)
"""Items that do not exist."""
ITEM_TEXT = dict.fromkeys(EXAMPLE_ITEMS.columns, pl.String)


@dataclass(frozen=True)
class ModelInterface:
    """What a model takes and returns, and an invented input."""

    signature: ModelSignature
    example: Any


def item_tower_interface(vector_size: int) -> ModelInterface:
    """Items and their titles become vectors; the day decides about their age."""
    day = ParamSpec(AS_OF, "datetime", np.datetime64(EXAMPLE_DAY.replace(tzinfo=None)))
    return ModelInterface(
        ModelSignature(
            Schema([ColSpec("string", name) for name in EXAMPLE_ITEMS.columns]),
            Schema([TensorSpec(np.dtype(np.float32), (-1, vector_size))]),
            ParamSchema([day]),
        ),
        EXAMPLE_ITEMS,
    )


def reranker_interface(names: tuple[str, ...]) -> ModelInterface:
    """The features of a user and an item become a score."""
    return ModelInterface(
        ModelSignature(
            Schema([ColSpec("double", name) for name in names]), Schema([TensorSpec(np.dtype(np.float32), (-1,))])
        ),
        pd.DataFrame([dict.fromkeys(names, value) for value in (0.0, 1.0)]),
    )


def register(
    mlflow: MlflowLogger, run: str, model: str, folder: Path, interface: ModelInterface, description: str
) -> "Summary":
    """Store a model's folder in MLflow, and make it the challenger. Returns its id and its version."""
    described = Model(signature=interface.signature)
    described.add_flavor("python_function", loader_module=__name__, python_version=python_version())
    _save_example(described, interface.example, str(folder))
    logged = mlflow.client.create_logged_model(mlflow.experiment_id, model, source_run_id=run)
    mlflow.client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
    described.model_id = logged.model_id
    described.save(str(folder / "MLmodel"))
    mlflow.client.log_model_artifacts(logged.model_id, str(folder))
    mlflow.client.finalize_logged_model(logged.model_id, "READY")
    version = _create_version(mlflow, run, model, logged.model_id, description)
    mlflow.client.set_registered_model_alias(model, CHALLENGER, version)
    return {"model": model, "id": logged.model_id, "version": version}


def _create_version(mlflow: MlflowLogger, run: str, model: str, model_id: str, description: str) -> str:
    _ensure_registered(mlflow, model)
    with _use_tracking_uri(mlflow.client.tracking_uri):  # the registry looks up the model in the store of the process
        version = mlflow.client.create_model_version(
            model,
            source=f"models:/{model_id}",
            run_id=run,
            description=description,
            model_id=model_id,
            await_creation_for=0,
        )
    versions = [{"name": model, "version": str(version.version)}]
    mlflow.client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(versions)})
    return str(version.version)


def _ensure_registered(mlflow: MlflowLogger, model: str) -> None:
    try:
        mlflow.client.create_registered_model(model, description=ABOUT[model])
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def log_model_metrics(mlflow: MlflowLogger, run: str, registered: "Summary", metrics: Mapping[str, float]) -> None:
    """Add metrics of the held-out days to a registered model and to the tags of its version."""
    now = get_current_time_millis()  # a retry may measure other values: MLflow refuses a second one of the same time
    logged = [
        Metric(f"{registered['model']}/{name}", value, now, 0, model_id=registered["id"])
        for name, value in metrics.items()
    ]
    mlflow.client.log_batch(run, metrics=logged)
    for name, value in metrics.items():
        mlflow.client.set_model_version_tag(registered["model"], registered["version"], name, f"{value:.4f}")


def name_of_night(day: date, label: str) -> str:
    """A night in the description of a model: `night 2017-03-01 (diverse)`."""
    return f"night {day} ({label})" if label else f"night {day}"


def tag_release(mlflow: MlflowLogger, registered: "Summary", release: str) -> None:
    """Name the release that contains a registered model."""
    mlflow.client.set_model_version_tag(registered["model"], registered["version"], "release", release)


def promote(mlflow: MlflowLogger, registered: "Summary") -> None:
    """Make a registered model the champion."""
    mlflow.client.set_registered_model_alias(registered["model"], CHAMPION, registered["version"])


class _ItemTower:
    def __init__(self, folder: Path) -> None:
        self._tower = load_tower(folder)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any]) -> NDArray[np.float32]:
        """[I, vector_size] the vectors of items at midnight UTC of a day."""
        items = pl.DataFrame({name: list(model_input[name]) for name in EXAMPLE_ITEMS}, schema=ITEM_TEXT)
        day = pd.Timestamp(params[AS_OF]).to_pydatetime().replace(tzinfo=UTC)
        return self._tower.embed_items(items, day)


class _Scorer:
    def __init__(self, folder: Path) -> None:
        self._reranker = Reranker.load(folder / RANKER)

    def predict(self, model_input: pd.DataFrame) -> NDArray[np.float32]:
        """[P] the scores of rows of features."""
        return self._reranker.score(model_input[list(self._reranker.names)].to_numpy(np.float32))


def _load_pyfunc(folder: str) -> _ItemTower | _Scorer:
    """The entry point that MLflow calls by this name."""
    path = Path(folder)
    return _Scorer(path) if (path / RANKER).exists() else _ItemTower(path)
