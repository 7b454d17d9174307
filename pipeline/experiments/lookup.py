"""Runs by what people call them: an id, the beginning of one, or `experiment/name`; and which there are."""

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

LEAST_PREFIX, SHORT = 4, 8
NEWEST = ["attributes.start_time DESC"]
PARENT = "mlflow.parentRunId"
MARKED = f"tags.`{FINGERPRINT}` LIKE '%'"


def stores(lakes: Sequence[str], uri: str, settings: Settings) -> list[MlflowClient]:
    """The tracking stores to look in: `uri`, else that of the settings, else those in the folders (a lake, or the --out
    of a benchmark). Raises `UnknownRun` where a folder holds none."""
    uri = uri or settings.mlflow_tracking_uri
    homes = [Lake(lake) for lake in lakes or [settings.lake]]
    for home in [] if uri else homes:
        if not (home.folder / "mlflow.db").exists():
            told = "give the lake of a night or the --out of a benchmark with --lake, or --tracking-uri"
            raise UnknownRun(f"{home.folder}: holds no mlflow.db; {told}")
    return [MlflowClient(uri)] if uri else [MlflowClient(tracking_uri(settings, home)) for home in homes]


def find_run(word: str, clients: Sequence[MlflowClient]) -> LoggedRun:
    """The run that a word means; of several runs with one name, the newest. Raises `UnknownRun` and `NotComparable`."""
    found = [LoggedRun(client, run) for client in clients for run in _meant(word, client)]
    if not found:
        raise UnknownRun(f"{word}: no such run; `tastefeed compare` without runs lists those that can be compared")
    if "/" not in word and len(found) > 1:
        ids = ", ".join(each.run.info.run_id for each in found[:5])
        raise UnknownRun(f"{word}: the beginning of {len(found)} runs ({ids}); give more of the id")
    chosen = max(found, key=lambda each: each.run.info.start_time)
    if FINGERPRINT not in chosen.run.data.tags:
        raise NotComparable(f"{word}: run {chosen.name!r} keeps no marks of people; {_instead(chosen)}")
    return chosen


def comparable_runs(clients: Sequence[MlflowClient], most: int = 30) -> pl.DataFrame:
    """The newest runs that can be compared: `run, name, dataset,
    question, metric, mean, started`; only those with one question can be held against each other."""
    found = [LoggedRun(client, run) for client in clients for run in _search(client, MARKED)]
    if not found:
        raise UnknownRun("no run here can be compared; run a night or `tastefeed bench retrieval --data …` first")
    return pl.DataFrame([_row(each) for each in found]).sort("started", descending=True).head(most)


def started(run: Run) -> str:
    """When a run began, to the minute, UTC."""
    return f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M}"


def _row(marked: LoggedRun) -> dict[str, object]:
    return {
        "run": marked.run.info.run_id[:SHORT],
        "name": marked.path,
        "dataset": marked.question.dataset,
        "question": marked.question.fingerprint[:SHORT],
        "metric": marked.metric,
        "mean": marked.run.data.metrics.get(marked.metric),
        "started": started(marked.run),
    }


def _meant(word: str, client: MlflowClient) -> list[Run]:
    experiment, slash, name = word.partition("/")
    if slash:
        found = client.get_experiment_by_name(experiment)
        return [] if found is None else _search(client, f"attributes.run_name = {_quoted(name)}", found.experiment_id)
    if len(word) < LEAST_PREFIX or not word.isalnum():
        raise UnknownRun(f"{word}: give a run's id, at least {LEAST_PREFIX} characters of it, or experiment/name")
    return _search(client, f"attributes.run_id LIKE '{word}%'")


def _quoted(name: str) -> str:
    if "'" in name:
        raise UnknownRun(f"{name}: a name with a quote cannot be searched for; give the run's id")
    return f"'{name}'"


def _search(client: MlflowClient, condition: str, experiment: str = "") -> list[Run]:
    ids = [experiment] if experiment else [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(ids, condition, order_by=NEWEST))


def _instead(parent: LoggedRun) -> str:
    below = f"tags.`{PARENT}` = '{parent.run.info.run_id}' AND {MARKED}"
    children = _search(parent.client, below, parent.run.info.experiment_id)
    named = ", ".join(f"{run.info.run_name} {run.info.run_id[:SHORT]}" for run in children)
    return f"compare one of its methods: {named}" if named else "run it again to have them"
