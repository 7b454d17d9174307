"""MLflow: one parent run a night, child runs for retrieval and ranking, models as challenger and champion.

Nothing that names a person goes there: settings, counts, curves, metrics, and models without a user id. Models are
registered as plain folders (safetensors, LightGBM text) so that no flavor wraps them in a pickle.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from contracts import Settings
from pipeline.curves import plot_curves
from pipeline.lake import Lake

EXPERIMENT = "nightly"
CHALLENGER, CHAMPION = "challenger", "champion"
LONGEST_PARAM = 500
MOST_PARAMS, MOST_METRICS = 100, 1000
"""What MLflow takes in one batch."""
TIMELESS = 0
"""MLflow wants a clock reading; a figure belongs to a step, and two runs of one night should look alike."""


def tracking_uri(settings: Settings, home: Lake) -> str:
    """The setting, else SQLite in the lake's folder."""
    return settings.mlflow_tracking_uri or f"sqlite:///{home.folder.absolute()}/mlflow.db"


class MlflowLogger:
    """The night's runs in MLflow."""

    def __init__(self, settings: Settings, home: Lake, *, experiment: str = EXPERIMENT) -> None:
        """Of one lake; makes the tracking database where there is none."""
        self._experiment = experiment
        self.client = MlflowClient(tracking_uri(settings, home))
        self._artifacts = None if settings.mlflow_tracking_uri else f"{home.folder.absolute()}/mlartifacts"

    @property
    def artifact_folder(self) -> Path | None:
        """The folder of all artifacts, where it is the lake's own; MLflow's own deletion leaves files in it."""
        return Path(self._artifacts) if self._artifacts else None

    @cached_property
    def experiment_id(self) -> str:
        """The experiment that holds the runs."""
        found = self.client.get_experiment_by_name(self._experiment)
        return found.experiment_id if found else self.client.create_experiment(self._experiment, self._artifacts)

    def start(self, name: str, parent: str | None = None) -> str:
        """Open a run and return its id."""
        tags = {"mlflow.runName": name} | ({"mlflow.parentRunId": parent} if parent else {})
        return str(self.client.create_run(self.experiment_id, tags=tags).info.run_id)

    def end(self, run: str, status: str = "FINISHED") -> None:
        """Close a run."""
        self.client.set_terminated(run, status)

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Log settings, flattened as `room.setting`."""
        flat = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in flattened(values)]
        for first in range(0, len(flat), MOST_PARAMS):
            self.client.log_batch(run, params=flat[first : first + MOST_PARAMS])

    def tags(self, run: str, values: Mapping[str, Any]) -> None:
        """Log what another try of the same stage may have otherwise; MLflow refuses to change a parameter."""
        for name, value in flattened(values):
            self.client.set_tag(run, name, str(value))

    def metrics(self, run: str, values: Mapping[str, float]) -> None:
        """Log figures; what was not measured is left out."""
        self._log(run, [Metric(name, float(value), TIMELESS, 0) for name, value in values.items()])

    def curves(self, run: str, curves: Mapping[str, Sequence[float]], step: str) -> None:
        """Log figures that have one value a step, and keep them as the plot `curves.svg`."""
        for name, values in curves.items():
            self._log(run, [Metric(name, float(value), TIMELESS, place) for place, value in enumerate(values)])
        self.client.log_figure(run, plot_curves(curves, step), "curves.svg")

    def _log(self, run: str, figures: Sequence[Metric]) -> None:
        known = [figure for figure in figures if math.isfinite(figure.value)]
        for first in range(0, len(known), MOST_METRICS):
            self.client.log_batch(run, metrics=known[first : first + MOST_METRICS])

    def artifact(self, run: str, name: str, content: str) -> None:
        """Keep a text file with a run."""
        self.client.log_text(run, content, name)

    def register(self, run: str, model: str, folder: Path) -> None:
        """Keep a model's folder with its run and make it the challenger."""
        self.client.log_artifacts(run, str(folder), model)
        try:
            self.client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self.client.get_run(run).info.artifact_uri}/{model}"
        version = self.client.create_model_version(model, source=source, run_id=run)
        self.client.set_registered_model_alias(model, CHALLENGER, version.version)

    def promote(self, models: Iterable[str]) -> None:
        """Make the challengers champions."""
        for model in models:
            version = self.client.get_model_version_by_alias(model, CHALLENGER).version
            self.client.set_registered_model_alias(model, CHAMPION, version)


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings as `(dotted name, value)`, in order."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
