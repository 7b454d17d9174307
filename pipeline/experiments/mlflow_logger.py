"""MLflow: open and close runs, and log their settings, metrics, curves and files.

A night has one parent run, and child runs for retrieval, re-ranking and each method. No run holds anything that
identifies a user: it holds settings, counts, curves, metrics, and models without user ids.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from contracts import Settings
from pipeline.experiments import lake_artifacts
from pipeline.lake import Lake

lake_artifacts.register()
EXPERIMENT = "nightly"
COMMIT = "mlflow.source.git.commit"
"""MLflow's own tag: its page shows the value as the version of the run."""
PARENT = "mlflow.parentRunId"
"""MLflow's own tag of a child run."""
LABEL = "tastefeed.label"
"""The tag with the name that the user gave a night."""
MAX_PARAM_LENGTH = 500
MAX_PARAMS, MAX_METRICS = 100, 1000
"""The limits of one MLflow batch."""
SOURCE = {"mlflow.source.name": "tastefeed", "mlflow.source.type": "LOCAL"}
"""MLflow's own tags: its page of a run shows the commit only beside the name of a source."""
DESCRIPTION = "mlflow.note.content"
"""MLflow's own tag: the text above a run or an experiment."""
ABOUT_EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    DESCRIPTION: "A parent run is a night, a backtest, a benchmark or an A/B test; its children are methods. "
    "`tastefeed compare` compares two runs user by user (docs/experiments.md).",
}
"""MLflow's own tags: without a kind, its page shows the views for language models."""
NO_TIME = 0
"""MLflow requires a timestamp; with a constant one, two runs of the same night have equal records. A retry that
changes a metric counts on from there."""
PLACES = ("lake", "uri", "url", "home", "python", "keys", "key", "cert", "file", "folder", "endpoint", "experiment")
"""The last word of each setting that is a place or a secret."""
COLOUR = "#c8553d"


def tracking_uri(settings: Settings, home: Lake) -> str:
    """The tracking URI of the settings, else SQLite in the lake's folder."""
    return settings.mlflow_tracking_uri or f"{lake_artifacts.SQLITE}{home.folder.absolute() / lake_artifacts.DATABASE}"


class MlflowLogger:
    """Writes the runs of one lake, or of one benchmark, to MLflow."""

    def __init__(self, settings: Settings, home: Lake, *, experiment: str = EXPERIMENT) -> None:
        """Creates the tracking database where there is none."""
        self._experiment = experiment
        self.client = MlflowClient(tracking_uri(settings, home))
        self._home = None if settings.mlflow_tracking_uri else home.folder.absolute()

    @property
    def artifact_folder(self) -> Path | None:
        """The folder of all artifacts, where it is the lake's own; deleting a run in MLflow leaves its files there."""
        return self._home and self._home / lake_artifacts.FOLDER

    @cached_property
    def experiment_id(self) -> str:
        """The experiment that holds the runs; created at the first use."""
        if self._home:
            lake_artifacts.make_portable(self._home / lake_artifacts.DATABASE)
        existing = self.client.get_experiment_by_name(self._experiment)
        location = lake_artifacts.LOCATION if self._home else None
        experiment = existing.experiment_id if existing else self.client.create_experiment(self._experiment, location)
        for name in ABOUT_EXPERIMENT.keys() - (existing.tags if existing else {}):
            self.client.set_experiment_tag(experiment, name, ABOUT_EXPERIMENT[name])
        return str(experiment)

    def start(self, name: str, parent: str | None = None) -> str:
        """Open a run and return its id."""
        tags = {"mlflow.runName": name, **SOURCE} | ({PARENT: parent} if parent else {})
        return str(self.client.create_run(self.experiment_id, tags=tags).info.run_id)

    def end(self, run: str, status: str = "FINISHED") -> None:
        """Close a run."""
        self.client.set_terminated(run, status)

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Log settings under dotted names such as `ranking.slate.window`."""
        flat = [Param(name, str(value)[:MAX_PARAM_LENGTH]) for name, value in flattened(values)]
        for first in range(0, len(flat), MAX_PARAMS):
            self.client.log_batch(run, params=flat[first : first + MAX_PARAMS])

    def tags(self, run: str, values: Mapping[str, Any]) -> None:
        """Log values that a retry of the same stage may change; MLflow refuses to change a parameter."""
        for name, value in flattened(values):
            self.client.set_tag(run, name, str(value))

    def metrics(self, run: str, values: Mapping[str, float]) -> None:
        """Log one value a metric; values that are not finite are left out.

        MLflow shows the value of the last timestamp, and of equal ones the highest value. So the other value of a retry
        gets a later timestamp.
        """
        before = self.client.get_run(run).data.metrics
        changed = {name: value for name, value in values.items() if before.get(name) != value}
        self._log(
            run,
            [
                Metric(name, float(value), self._next_time(run, name) if name in before else NO_TIME, 0)
                for name, value in changed.items()
            ],
        )

    def _next_time(self, run: str, name: str) -> int:
        return 1 + max(metric.timestamp for metric in self.client.get_metric_history(run, name))

    def curves(self, run: str, curves: Mapping[str, Sequence[float]], step: str) -> None:
        """Log metrics that have one value a step, and plot them as the artifact `curves.svg`."""
        for name, values in curves.items():
            self._log(run, [Metric(name, float(value), NO_TIME, position) for position, value in enumerate(values)])
        self.client.log_figure(run, plot_curves(curves, step), "curves.svg")

    def _log(self, run: str, metrics: Sequence[Metric]) -> None:
        finite = [metric for metric in metrics if math.isfinite(metric.value)]
        for first in range(0, len(finite), MAX_METRICS):
            self.client.log_batch(run, metrics=finite[first : first + MAX_METRICS])

    def artifact(self, run: str, name: str, content: str) -> None:
        """Store a text file with a run."""
        self.client.log_text(run, content, name)


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings as `(dotted name, value)`, in order."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def is_place(name: str) -> bool:
    """Whether a setting is a place or a secret: it changes no result, and its value is never logged."""
    return "." not in name and name.split("_")[-1] in PLACES


def plot_curves(panels: Mapping[str, Sequence[float]], step: str) -> Figure:
    """One panel a curve that changes, one below the other; `step` labels the common axis."""
    panels = {name: values for name, values in panels.items() if len(set(values)) > 1} or panels
    page = Figure(figsize=(8, 2.4 * len(panels)), layout="constrained")
    rows = page.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, panels.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, color=COLOUR, marker="." if len(values) < 100 else "")
        axes.set_ylabel(name.replace("_at_", "@").replace("_", " "))
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel(step)
    return page
