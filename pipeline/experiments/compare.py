"""`tastefeed compare`: find two runs on the same evaluation data, and pair their users."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Run

from contracts import Settings
from contracts.errors import NotComparable, UnknownRun
from evaluation import Comparison, Difference, compared
from evaluation.anonymized_metrics import ITEMS, USERS
from evaluation.results import FINAL
from pipeline.experiments import lake_artifacts
from pipeline.experiments.mlflow_logger import COMMIT, LABEL, PARENT, tracking_uri
from pipeline.experiments.run_log import FINGERPRINT, LoggedRun
from pipeline.lake import Lake

MIN_PREFIX, SHORT = 4, 8
ABSENT = "–"
MOST_LISTED = 30
NEWEST = ["attributes.start_time DESC"]
COMPARABLE = f"tags.`{FINGERPRINT}` LIKE '%'"


def stores(lakes: Sequence[str], uri: str, settings: Settings) -> list[MlflowClient]:
    """The tracking stores to search: `uri`, else that of the settings, else those in the folders.

    A folder is a lake, or the --out of a benchmark. Raises `UnknownRun` where a folder holds no store.
    """
    uri = uri or settings.mlflow_tracking_uri
    homes = [Lake(lake) for lake in lakes or [settings.lake]]
    for home in [] if uri else homes:
        database = home.folder / lake_artifacts.DATABASE
        if not database.exists():
            remedy = "give the lake of a night or the --out of a benchmark with --lake, or --tracking-uri"
            raise UnknownRun(f"{home.folder}: holds no mlflow.db; {remedy}")
        if os.access(database, os.W_OK):
            lake_artifacts.make_portable(database)  # one of an earlier version may have been moved
    return [MlflowClient(uri)] if uri else [MlflowClient(tracking_uri(settings, home)) for home in homes]


def find_run(name: str, clients: Sequence[MlflowClient]) -> LoggedRun:
    """The run of an id, of the first characters of one, of a label, or the newest of an `experiment/name`.

    A night stands for its final list; `label/method` is another method of it. Raises `UnknownRun` and `NotComparable`.
    """
    runs = [LoggedRun(client, run) for client in clients for run in _matching(name, client)]
    if not runs:
        raise UnknownRun(f"{name}: no such run; `tastefeed compare` without runs lists those that can be compared")
    chosen = max(runs, key=lambda each: each.run.info.start_time)
    if "/" not in name and chosen.label != name and len(runs) > 1:
        ids = ", ".join(each.run.info.run_id for each in runs[:5])
        raise UnknownRun(f"{name}: the beginning of {len(runs)} runs ({ids}); give more of the id")
    if FINGERPRINT in chosen.run.data.tags:
        return chosen
    methods = _methods(chosen)
    final = next((each for each in methods if each.name == FINAL), None)
    if final is None:
        raise NotComparable(f"{name}: run {chosen.name!r} holds no per-user metrics; {_alternatives(methods)}")
    return final


def comparable_runs(clients: Sequence[MlflowClient], most: int = MOST_LISTED) -> pl.DataFrame:
    """The newest runs that can be compared: `run, name, label, differs, dataset, question, metric, mean, started`.

    Only runs with the same question, the fingerprint of their evaluation data, can be compared with each other.
    `differs` has the settings in which runs of one name and question differ; one that an older version lacks is left
    out.
    """
    runs = [LoggedRun(client, run) for client in clients for run in _search(client, COMPARABLE)]
    if not runs:
        raise UnknownRun("no run here can be compared; run a night or `tastefeed bench retrieval --data …` first")
    newest = sorted(runs, key=lambda each: each.run.info.start_time, reverse=True)[:most]
    differing = differing_settings(newest)
    return pl.DataFrame([_row(each) | {"differs": differs} for each, differs in zip(newest, differing, strict=True)])


def differing_settings(runs: Sequence[LoggedRun]) -> list[str]:
    """For each run the settings in which it differs from another run of its name and question, as text."""
    alike: dict[tuple[str, str], list[dict[str, str]]] = {}
    for run in runs:
        alike.setdefault((run.path, run.fingerprint.digest), []).append(run.settings)
    texts = []
    for run in runs:
        others = alike[run.path, run.fingerprint.digest]
        names = sorted(set.intersection(*map(set, others)) - {"commit"})
        differs = [name for name in names if len({other[name] for other in others}) > 1]
        texts.append(", ".join(f"{name}={run.settings[name]}" for name in differs))
    return texts


def started(run: Run) -> str:
    """When a run began, to the minute, UTC."""
    return f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M}"


def _row(logged: LoggedRun) -> dict[str, object]:
    return {
        "run": logged.run.info.run_id[:SHORT],
        "name": logged.path,
        "label": logged.label,
        "differs": "",
        "dataset": logged.fingerprint.dataset,
        "question": logged.fingerprint.digest[:SHORT],
        "metric": logged.metric,
        "mean": logged.run.data.metrics.get(logged.metric),
        "started": started(logged.run),
    }


def _matching(name: str, client: MlflowClient) -> list[Run]:
    first, slash, method = name.partition("/")
    if slash and (experiment := client.get_experiment_by_name(first)):
        return _search(client, f"attributes.run_name = {_quoted(method)}", experiment.experiment_id)
    of_label = f"tags.`{LABEL}` = {_quoted(first)} AND attributes.run_name = {_quoted(method or FINAL)}"
    labelled = _search(client, of_label)
    if labelled or slash:
        return labelled
    if len(name) < MIN_PREFIX or not name.isalnum():
        raise UnknownRun(
            f"{name}: give a run's id, at least {MIN_PREFIX} characters of it, or experiment/name, or a night's label"
        )
    return _search(client, f"attributes.run_id LIKE '{name}%'")


def _quoted(name: str) -> str:
    if "'" in name:
        raise UnknownRun(f"{name}: a name with a quote cannot be searched for; give the run's id")
    return f"'{name}'"


def _search(client: MlflowClient, condition: str, experiment: str = "") -> list[Run]:
    ids = [experiment] if experiment else [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(ids, condition, order_by=NEWEST))


def _methods(parent: LoggedRun) -> list[LoggedRun]:
    condition = f"tags.`{PARENT}` = '{parent.run.info.run_id}' AND {COMPARABLE}"
    children = _search(parent.client, condition, parent.run.info.experiment_id)
    return [LoggedRun(parent.client, run) for run in children]


def _alternatives(methods: Sequence[LoggedRun]) -> str:
    names = ", ".join(f"{each.name} {each.run.info.run_id[:SHORT]}" for each in methods)
    return f"compare one of its methods: {names}" if names else "run it again to have them"


FIGURES = ("coverage_at_", "fit_seconds", "users_per_second", "peak_rss_mb")
"""Figures of a whole run. They have no value for each user, so no interval."""


@dataclass(frozen=True)
class Compared:
    """Two runs and their differences."""

    a: LoggedRun
    b: LoggedRun
    differences: Comparison

    @property
    def settings(self) -> list[tuple[str, str, str]]:
        """Each setting that differs: its name, the value of A and the value of B; last those that one version lacks."""
        names = sorted({*self.a.settings, *self.b.settings})
        pairs = [(name, self.a.settings.get(name, ABSENT), self.b.settings.get(name, ABSENT)) for name in names]
        return sorted((pair for pair in pairs if pair[1] != pair[2]), key=lambda pair: ABSENT in pair[1:])

    @property
    def figures(self) -> list[tuple[str, float, float]]:
        """Figures of the whole run that both have."""
        a, b = self.a.run.data.metrics, self.b.run.data.metrics
        return [(name, a[name], b[name]) for name in sorted({*a} & {*b}) if name.startswith(FIGURES)]


def compare_runs(
    name_a: str, name_b: str, *, lakes: Sequence[str] = (), uri: str = "", metric: str = "", settings: Settings
) -> Compared:
    """Find two runs and pair their users. Raises `UnknownRun` and `NotComparable`."""
    clients = stores(lakes, uri, settings)
    a, b = (find_run(name, clients) for name in (name_a, name_b))
    unlike = a.fingerprint.difference_to(b.fingerprint)
    if unlike:
        raise NotComparable(f"{name_a} and {name_b} answer different questions: {unlike}; run both on the same data")
    return Compared(a, b, compared(a.per_user, b.per_user, metric or a.metric, seed=settings.seed))


def group_of(difference: Difference) -> str:
    """The group of users or items in words; empty for all users."""
    return difference.group.replace(USERS, "").replace(ITEMS, "on items: ")


def differences_frame(comparison: Comparison) -> pl.DataFrame:
    """One row a metric or group, for plots: `metric, group, users, a, b, mean, low, high, together`."""
    names = ("metric", "group", "users", "a", "b", "mean", "low", "high", "together")
    rows = [_cells(each) for each in (*comparison.metrics, *comparison.groups)]
    return pl.DataFrame(rows, schema=names, orient="row")


def _cells(each: Difference) -> tuple[object, ...]:
    interval, together = each.interval, each.corrected.excludes_zero
    return (
        *(each.metric, group_of(each), each.users, each.a, each.b),
        *(interval.mean, interval.low, interval.high, together),
    )


def document(runs: Compared) -> dict[str, Any]:
    """The comparison for programs: both runs, what differs in their settings, every difference, and the verdict."""
    return {
        "a": _described(runs.a),
        "b": _described(runs.b),
        "question": runs.a.fingerprint.parts | {"digest": runs.a.fingerprint.digest},
        "settings": [dict(zip(("setting", "a", "b"), setting, strict=True)) for setting in runs.settings],
        "differences": differences_frame(runs.differences).to_dicts(),
        "figures": [dict(zip(("figure", "a", "b"), figure, strict=True)) for figure in runs.figures],
        "metric": runs.differences.metric,
        "minimum_detectable_effect": runs.differences.main.minimum_detectable_effect,
        "verdict": runs.differences.verdict,
    }


def _described(logged: LoggedRun) -> dict[str, str]:
    described = {"run": logged.run.info.run_id, "name": logged.path, "label": logged.label}
    return described | {"started": started(logged.run), "commit": logged.run.data.tags[COMMIT]}
