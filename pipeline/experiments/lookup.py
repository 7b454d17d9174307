"""Look up runs by an id, by the first characters of an id or by `experiment/name`, and list the comparable ones."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Run

from contracts import Settings
from contracts.errors import NotComparable, UnknownRun
from pipeline.experiments.mlflow_logger import tracking_uri
from pipeline.experiments.run_log import FINGERPRINT, LoggedRun
from pipeline.lake import Lake

MIN_PREFIX, SHORT = 4, 8
NEWEST = ["attributes.start_time DESC"]
PARENT = "mlflow.parentRunId"
COMPARABLE = f"tags.`{FINGERPRINT}` LIKE '%'"


def stores(lakes: Sequence[str], uri: str, settings: Settings) -> list[MlflowClient]:
    """The tracking stores to search: `uri`, else that of the settings, else those in the folders.

    A folder is a lake, or the --out of a benchmark. Raises `UnknownRun` where a folder holds no store.
    """
    uri = uri or settings.mlflow_tracking_uri
    homes = [Lake(lake) for lake in lakes or [settings.lake]]
    for home in [] if uri else homes:
        if not (home.folder / "mlflow.db").exists():
            remedy = "give the lake of a night or the --out of a benchmark with --lake, or --tracking-uri"
            raise UnknownRun(f"{home.folder}: holds no mlflow.db; {remedy}")
    return [MlflowClient(uri)] if uri else [MlflowClient(tracking_uri(settings, home)) for home in homes]


def find_run(name: str, clients: Sequence[MlflowClient]) -> LoggedRun:
    """The run of an id, of the first characters of one, or the newest of an `experiment/name`.

    Raises `UnknownRun` and `NotComparable`.
    """
    runs = [LoggedRun(client, run) for client in clients for run in _matching(name, client)]
    if not runs:
        raise UnknownRun(f"{name}: no such run; `tastefeed compare` without runs lists those that can be compared")
    if "/" not in name and len(runs) > 1:
        ids = ", ".join(each.run.info.run_id for each in runs[:5])
        raise UnknownRun(f"{name}: the beginning of {len(runs)} runs ({ids}); give more of the id")
    chosen = max(runs, key=lambda each: each.run.info.start_time)
    if FINGERPRINT not in chosen.run.data.tags:
        raise NotComparable(f"{name}: run {chosen.name!r} holds no per-user metrics; {_alternatives(chosen)}")
    return chosen


def comparable_runs(clients: Sequence[MlflowClient], most: int = 30) -> pl.DataFrame:
    """The newest runs that can be compared: `run, name, dataset, question, metric, mean, started`.

    Only runs with the same question, the fingerprint of their evaluation data, can be compared with each other.
    """
    runs = [LoggedRun(client, run) for client in clients for run in _search(client, COMPARABLE)]
    if not runs:
        raise UnknownRun("no run here can be compared; run a night or `tastefeed bench retrieval --data …` first")
    return pl.DataFrame([_row(each) for each in runs]).sort("started", descending=True).head(most)


def started(run: Run) -> str:
    """When a run began, to the minute, UTC."""
    return f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M}"


def _row(logged: LoggedRun) -> dict[str, object]:
    return {
        "run": logged.run.info.run_id[:SHORT],
        "name": logged.path,
        "dataset": logged.fingerprint.dataset,
        "question": logged.fingerprint.digest[:SHORT],
        "metric": logged.metric,
        "mean": logged.run.data.metrics.get(logged.metric),
        "started": started(logged.run),
    }


def _matching(name: str, client: MlflowClient) -> list[Run]:
    experiment, slash, run_name = name.partition("/")
    if slash:
        match = client.get_experiment_by_name(experiment)
        condition = f"attributes.run_name = {_quoted(run_name)}"
        return [] if match is None else _search(client, condition, match.experiment_id)
    if len(name) < MIN_PREFIX or not name.isalnum():
        raise UnknownRun(f"{name}: give a run's id, at least {MIN_PREFIX} characters of it, or experiment/name")
    return _search(client, f"attributes.run_id LIKE '{name}%'")


def _quoted(name: str) -> str:
    if "'" in name:
        raise UnknownRun(f"{name}: a name with a quote cannot be searched for; give the run's id")
    return f"'{name}'"


def _search(client: MlflowClient, condition: str, experiment: str = "") -> list[Run]:
    ids = [experiment] if experiment else [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(ids, condition, order_by=NEWEST))


def _alternatives(parent: LoggedRun) -> str:
    condition = f"tags.`{PARENT}` = '{parent.run.info.run_id}' AND {COMPARABLE}"
    children = _search(parent.client, condition, parent.run.info.experiment_id)
    names = ", ".join(f"{run.info.run_name} {run.info.run_id[:SHORT]}" for run in children)
    return f"compare one of its methods: {names}" if names else "run it again to have them"
