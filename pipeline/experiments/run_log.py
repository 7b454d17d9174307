"""The runs that can be compared: each method's per-user metrics in MLflow, with the fingerprint of its evaluation data.

A method's run stores the rows of `evaluation.anonymized_metrics`: no id, in an order that identifies no user. It also
stores the fingerprint, each mean with its bootstrap interval, metrics by segment, curves, and the commit.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from contracts.atomic_files import naming
from contracts.errors import NotComparable
from evaluation import Holdout, MethodMetrics, macro_average, paired_interval, segment_table
from evaluation import anonymized_metrics as m
from evaluation.fingerprint import EvaluationFingerprint, digest
from evaluation.metrics_tables import HIGHER_IS_BETTER
from pipeline.code_version import git_commit
from pipeline.experiments.mlflow_logger import COMMIT, LABEL, PARENT, MlflowLogger, is_place
from pipeline.lake import parquet

if TYPE_CHECKING:
    from pipeline.evaluation_lists import EvaluationData
    from pipeline.metrics_store import EvaluatedWeek
    from pipeline.run_context import RunContext

PER_USER, SEGMENTS = "marks.parquet", "slices.csv"
FINGERPRINT, METRIC = "tastefeed.fingerprint", "tastefeed.metric"
FINGERPRINT_PARAMS = "question."
METHOD_PARAMS = "config."
"""What the settings of a benchmark's method begin with, and those of a night of an earlier version."""
NO_SETTINGS = ("command", "counts.", "skipped")
"""Parameters that are no settings of a method."""
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one small file needs no bar


@dataclass(frozen=True)
class MethodRecord:
    """What the run of a method stores, so that another run can be compared with it."""

    fingerprint: EvaluationFingerprint
    per_user: pl.DataFrame
    metric: str
    """The metric that a comparison decides by."""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Bounds of intervals that were measured already; those of other metrics are added."""


@dataclass(frozen=True)
class LoggedRun:
    """A run of a method, and the store that holds it."""

    client: MlflowClient
    run: Run

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.run.info.run_name)

    @property
    def label(self) -> str:
        """The label of its night; empty where it has none."""
        return str(self.run.data.tags.get(LABEL, ""))

    @property
    def path(self) -> str:
        """`experiment/name`."""
        return f"{self.client.get_experiment(self.run.info.experiment_id).name}/{self.name}"

    @property
    def metric(self) -> str:
        """The metric that a comparison decides by, unless the caller names another."""
        return str(self.run.data.tags[METRIC])

    @cached_property
    def fingerprint(self) -> EvaluationFingerprint:
        """The data that it was evaluated on."""
        params = self.run.data.params
        return EvaluationFingerprint.read(
            {name.removeprefix(FINGERPRINT_PARAMS): value for name, value in params.items()}
        )

    @cached_property
    def settings(self) -> dict[str, str]:
        """Its own settings, those of its parent, and the commit of its code."""
        parent = self.run.data.tags.get(PARENT)
        params = {**(self.client.get_run(parent).data.params if parent else {}), **self.run.data.params}
        others = (FINGERPRINT_PARAMS, *NO_SETTINGS)
        settings = {
            name.removeprefix(METHOD_PARAMS): value
            for name, value in params.items()
            if not name.startswith(others) and not is_place(name)
        }
        return settings | {"commit": self.run.data.tags[COMMIT]}

    @cached_property
    def per_user(self) -> pl.DataFrame:
        """Its per-user metrics. Raises `NotComparable` where the file is missing."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                return pl.read_parquet(self.client.download_artifacts(self.run.info.run_id, PER_USER, folder))
            except (OSError, MlflowException) as missing:
                message = f"run {self.run.info.run_id} has lost its {PER_USER}; was the folder of artifacts moved?"
                raise NotComparable(message) from missing


def log_method(mlflow: MlflowLogger, run: str, record: MethodRecord, *, seed: int) -> None:
    """Write a record to an open run."""
    fingerprint = record.fingerprint
    mlflow.params(run, {f"{FINGERPRINT_PARAMS}{name}": value for name, value in fingerprint.parts.items()})
    mlflow.tags(run, {FINGERPRINT: fingerprint.digest, METRIC: record.metric, COMMIT: git_commit()})
    mlflow.metrics(run, interval_bounds(record.per_user, seed) | dict(record.bounds))
    if record.curves:
        mlflow.curves(run, record.curves, "epoch or trial")
    segments = segment_means(record.per_user)
    mlflow.metrics(run, segment_metrics(segments, record.metric))
    mlflow.artifact(run, SEGMENTS, segments.write_csv())
    with tempfile.TemporaryDirectory() as folder:
        with naming(folder):
            (Path(folder) / PER_USER).write_bytes(parquet(record.per_user))
        mlflow.client.log_artifact(run, str(Path(folder) / PER_USER))


def interval_bounds(per_user: pl.DataFrame, seed: int) -> dict[str, float]:
    """`ndcg_at_20_low` and `_high`: the 95 % bootstrap interval of each mean over users; every week counts alike."""
    bounds: dict[str, float] = {}
    for name in filter(lambda each: each.startswith(HIGHER_IS_BETTER), m.metric_columns(per_user)):
        rows = per_user.select(m.WEEK, m.PERSON, pl.col(name).fill_nan(None)).drop_nulls()
        if len(rows):
            weights = rows.select(1 / pl.len().over(m.WEEK)).to_series().to_numpy()
            values, users = rows[name].to_numpy(), rows[m.PERSON].to_numpy()
            interval = paired_interval(values, np.zeros(len(rows)), users=users, weights=weights, seed=seed)
            bounds |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return bounds


def segment_means(per_user: pl.DataFrame) -> pl.DataFrame:
    """One row a segment of users, `slice, group, users` and the mean of every metric; then one a segment of items, with
    the recall on its labels alone."""
    metrics = m.metric_columns(per_user)
    values = {name: per_user[name].to_numpy() for name in metrics}
    labels = {name.removeprefix(m.USERS): per_user[name].to_numpy() for name in m.user_group_columns(per_user)}
    recall = next((name for name in metrics if name.startswith("recall")), "recall")
    items = [
        {"slice": "items", "group": name.removeprefix(m.ITEMS), "users": len(recalls), recall: recalls.mean()}
        for name in m.item_group_columns(per_user)
        if len(recalls := per_user[name].fill_nan(None).drop_nulls()) >= m.MIN_USERS
    ]
    schema = {"slice": pl.String, "group": pl.String, "users": pl.UInt32, recall: pl.Float64}
    return pl.concat([segment_table(values, labels), pl.DataFrame(items, schema=schema)], how="diagonal")


def segment_metrics(segments: pl.DataFrame, metric: str) -> dict[str, float]:
    """`segment/history.light` and the like: the metric of a comparison in each segment of users."""
    return {
        f"segment/{row['slice']}.{row['group']}": row[metric]
        for row in segments.iter_rows(named=True)
        if row.get(metric) is not None
    }


def log_methods(
    night: "RunContext",
    data: "EvaluationData",
    evaluated: "Sequence[tuple[EvaluatedWeek, Holdout]]",
    intervals: pl.DataFrame,
    *,
    k: int,
) -> EvaluationFingerprint:
    """One child run a method, with its per-user metrics of every evaluated week; the parent run has the settings.

    `intervals` are those that the night prints: a second bootstrap of the same metric would have slightly other bounds.
    Returns the fingerprint that all of them share.
    """
    weeks = [week for week, _ in evaluated]
    fingerprint = night_fingerprint(night, data, [holdout for _, holdout in evaluated], k)
    for methods in zip(*(week.methods for week in weeks), strict=True):
        name = methods[0].name
        run = night.mlflow.start(name, parent=night.mlflow_run)
        night.mlflow.params(run, {"method": name})
        night.mlflow.tags(run, {LABEL: night.label} if night.label else {})
        night.mlflow.metrics(run, macro_average(methods).means)
        per_user = m.anonymized([method_week(data, *each) for each in zip(weeks, methods, strict=True)])
        record = MethodRecord(fingerprint, per_user, f"ndcg_at_{k}", bounds=bounds_of(intervals, name))
        log_method(night.mlflow, run, record, seed=night.settings.seed)
        night.mlflow.end(run)
    return fingerprint


def bounds_of(intervals: pl.DataFrame, method: str) -> dict[str, float]:
    """`ndcg_at_20_low` and the like of one method, from a table `method, metric, low, high`."""
    rows = intervals.filter(method=method).to_dicts()
    return {f"{row['metric']}_{bound}": row[bound] for row in rows for bound in ("low", "high")}


def night_fingerprint(
    night: "RunContext", data: "EvaluationData", holdouts: Sequence[Holdout], k: int
) -> EvaluationFingerprint:
    """The fingerprint of the valid events, of the labels of every evaluated week, and of their users."""
    cutoffs = [holdout.cutoff for holdout in holdouts]
    labels = [
        digest([*each.labels.offsets, *data.item_ids[each.labels.item_rows], *each.labels.gains]) for each in holdouts
    ]
    users = [digest(data.user_ids[each.user_rows]) for each in holdouts]
    events = str(night.summary("events")["fingerprint"])
    kind = "night" if night.splits.publishes else f"backtest of {len(cutoffs)} weeks to"
    dataset = f"{kind} {night.splits.as_of}"
    return EvaluationFingerprint(dataset, events, digest([*cutoffs, *labels]), digest(users), k)


def method_week(data: "EvaluationData", week: "EvaluatedWeek", method: MethodMetrics) -> pl.DataFrame:
    """The per-user metrics of one method and week, with each user's segments; the ids are still in it."""
    user_ids = pl.Series(data.user_ids[week.users], dtype=pl.String)
    return m.week_metrics(user_ids, method.per_user, users=week.segments, items={})
