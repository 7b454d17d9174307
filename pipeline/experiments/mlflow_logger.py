"""MLflow: one parent run a night, child runs for retrieval, ranking and each method, models as challenger and champion.

No run holds anything that identifies a user: it holds settings, counts, curves, metrics, and models without user ids.
Models are registered as plain folders (safetensors, LightGBM text), so that no MLflow flavor wraps them in a pickle.
"""

import math
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from contracts import Settings, __version__
from evaluation import markdown
from pipeline.lake import Lake
from pipeline.metrics_store import MetricsTables

if TYPE_CHECKING:
    from pipeline.run_context import RunContext, Summary


EXPERIMENT = "nightly"
CHALLENGER, CHAMPION = "challenger", "champion"
COMMIT = "mlflow.source.git.commit"
"""MLflow's own tag: its page shows the value as the version of the run."""
MAX_PARAM_LENGTH = 500
MAX_PARAMS, MAX_METRICS = 100, 1000
"""The limits of one MLflow batch."""
NO_TIME = 0
"""MLflow requires a timestamp; with a constant one, two runs of the same night have equal records."""
LEARNING_SETTINGS = ("holdout_days", "label_weeks", "half_life_days", "session_gap_minutes", "max_bad_share", "seed")
"""The settings that change what a night learns."""
COLOUR = "#c8553d"


def tracking_uri(settings: Settings, home: Lake) -> str:
    """The tracking URI of the settings, else SQLite in the lake's folder."""
    return settings.mlflow_tracking_uri or f"sqlite:///{home.folder.absolute()}/mlflow.db"


class MlflowLogger:
    """Writes the runs of one lake, or of one benchmark, to MLflow."""

    def __init__(self, settings: Settings, home: Lake, *, experiment: str = EXPERIMENT) -> None:
        """Creates the tracking database where there is none."""
        self._experiment = experiment
        self.client = MlflowClient(tracking_uri(settings, home))
        self._artifacts = None if settings.mlflow_tracking_uri else f"{home.folder.absolute()}/mlartifacts"

    @property
    def artifact_folder(self) -> Path | None:
        """The folder of all artifacts, where it is the lake's own; deleting a run in MLflow leaves its files there."""
        return Path(self._artifacts) if self._artifacts else None

    @cached_property
    def experiment_id(self) -> str:
        """The experiment that holds the runs; created at the first use."""
        existing = self.client.get_experiment_by_name(self._experiment)
        return existing.experiment_id if existing else self.client.create_experiment(self._experiment, self._artifacts)

    def start(self, name: str, parent: str | None = None) -> str:
        """Open a run and return its id."""
        tags = {"mlflow.runName": name} | ({"mlflow.parentRunId": parent} if parent else {})
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
        """Log one value a metric; values that are not finite are left out."""
        self._log(run, [Metric(name, float(value), NO_TIME, 0) for name, value in values.items()])

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

    def register(self, run: str, model: str, folder: Path) -> None:
        """Store a model's folder with its run and make it the challenger."""
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


def plot_curves(panels: Mapping[str, Sequence[float]], step: str) -> Figure:
    """One panel a curve, one below the other; `step` labels the common axis."""
    page = Figure(figsize=(8, 2.4 * len(panels)), layout="constrained")
    rows = page.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, panels.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, color=COLOUR, marker="." if len(values) < 100 else "")
        axes.set_ylabel(name.replace("_", " "))
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel(step)
    return page


def log_night(night: "RunContext", tables: MetricsTables, summary: "Summary") -> None:
    """Log config, data, code, counts and the metrics of every method to the parent run of a night."""
    counts, run, mlflow = night.summary("events"), night.mlflow_run, night.mlflow
    mlflow.params(run, run_params(night))
    mlflow.tags(run, {COMMIT: git_commit(), "champion": summary["champion"]})
    mlflow.metrics(run, tables.flat)
    mlflow.metrics(run, {name: summary[name] for name in ("index_recall_at_100", "candidate_recall")})
    mlflow.metrics(run, {name: counts[name] for name in ("ingested", "kept", "bad_share")})
    mlflow.metrics(run, {f"quarantine/{reason}": rows for reason, rows in counts["quarantine"].items()})
    for name, table in tables.named.items():
        mlflow.artifact(run, f"{name}.md", markdown(table, marked=table is tables.means))
        mlflow.artifact(run, f"{name}.json", table.write_json())


def run_params(night: "RunContext") -> "Summary":
    """The code, the data and the settings of a night."""
    settings = night.settings.model_dump()
    return {
        "as_of": night.splits.as_of,
        "data": night.summary("events")["fingerprint"],
        "code": __version__,
        "index": night.config.index.model_dump(),
        **{name: settings[name] for name in LEARNING_SETTINGS},
    }


CHECKOUT = Path(__file__).parents[1]
UNKNOWN = "unknown"
SHORT = 8
"""Letters of an abbreviated commit."""


def git_commit(checkout: Path = CHECKOUT) -> str:
    """The commit of this checkout, with `+changes` where files differ from it; `unknown` where it is no checkout."""
    if not (checkout / ".git").exists():  # an installed package may lie inside a repository that is not ours
        return UNKNOWN
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{commit}+changes" if changed else commit


def short(commit: str) -> str:
    """The result of `git_commit` with an abbreviated commit."""
    name, plus, changes = commit.partition("+")
    return f"{name[:SHORT]}{plus}{changes}"


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  no input
