"""Runs that can be compared: a method's marks in MLflow, with the question they answer and the code they came from.

What is kept: the metrics of `evaluation.anonymized_metrics` (no id, in an order that says nothing), the
question's digests, each mean with its bootstrap interval, a table of slices, curves, and the commit of the checkout.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from contracts.errors import NotComparable
from evaluation import anonymized_metrics as m
from evaluation import paired_interval
from evaluation.fingerprint import EvaluationFingerprint
from evaluation.metrics_tables import HIGHER_IS_BETTER
from evaluation.segment_metrics import slice_table
from pipeline.code_version import git_commit
from pipeline.experiments.mlflow_logger import MlflowLogger

MARKS, SLICES = "marks.parquet", "slices.csv"
FINGERPRINT, METRIC = "tastefeed.fingerprint", "tastefeed.metric"
COMMIT = "mlflow.source.git.commit"
QUESTION = "question."
UNTOLD = ("command", "counts.", "skipped")
"""Parameters that say nothing beside the others."""
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one small file needs no bar


@dataclass(frozen=True)
class MethodRecord:
    """What a method's run keeps: its marks on a question, the metric a verdict reads, and a curve a name."""

    question: EvaluationFingerprint
    marks: pl.DataFrame
    metric: str
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedRun:
    """A run that was found, and the store it lies in."""

    client: MlflowClient
    run: Run

    @property
    def name(self) -> str:
        """What the run is called."""
        return str(self.run.info.run_name)

    @property
    def path(self) -> str:
        """`experiment/name`."""
        return f"{self.client.get_experiment(self.run.info.experiment_id).name}/{self.name}"

    @property
    def metric(self) -> str:
        """What a verdict reads unless told otherwise."""
        return str(self.run.data.tags[METRIC])

    @cached_property
    def question(self) -> EvaluationFingerprint:
        """What it was asked."""
        params = self.run.data.params
        return EvaluationFingerprint.read({name.removeprefix(QUESTION): value for name, value in params.items()})

    @cached_property
    def settings(self) -> dict[str, str]:
        """Its own settings, those of its parent, and the commit of its code."""
        above = self.run.data.tags.get("mlflow.parentRunId")
        params = {**(self.client.get_run(above).data.params if above else {}), **self.run.data.params}
        told = {name: value for name, value in params.items() if not name.startswith((QUESTION, *UNTOLD))}
        return told | {"commit": self.run.data.tags[COMMIT]}

    @cached_property
    def marks(self) -> pl.DataFrame:
        """Its marks. Raises `NotComparable` where the file is gone."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                return pl.read_parquet(self.client.download_artifacts(self.run.info.run_id, MARKS, folder))
            except (OSError, MlflowException) as gone:
                told = f"run {self.run.info.run_id} has lost its {MARKS}; was the folder of artifacts moved?"
                raise NotComparable(told) from gone


def log_method(tracking: MlflowLogger, run: str, marked: MethodRecord, *, seed: int) -> None:
    """Write it all to an open run."""
    tracking.params(run, {f"{QUESTION}{name}": value for name, value in marked.question.told.items()})
    tags = {FINGERPRINT: marked.question.fingerprint, METRIC: marked.metric, COMMIT: git_commit()}
    for name, value in tags.items():
        tracking.client.set_tag(run, name, value)
    tracking.metrics(run, bounds(marked.marks, seed))
    if marked.curves:
        tracking.curves(run, marked.curves, "epoch or trial")
    slices = sliced(marked.marks)
    tracking.metrics(run, flat(slices))
    tracking.artifact(run, SLICES, slices.write_csv())
    with tempfile.TemporaryDirectory() as folder:
        marked.marks.write_parquet(Path(folder) / MARKS, compression="zstd")
        tracking.client.log_artifact(run, str(Path(folder) / MARKS))


def bounds(marks: pl.DataFrame, seed: int) -> dict[str, float]:
    """`ndcg_at_20.low` and `.high`: the 95 % bootstrap interval of each quality's mean, over people, weeks alike."""
    found: dict[str, float] = {}
    for name in filter(lambda each: each.startswith(HIGHER_IS_BETTER), m.metrics_in(marks)):
        rows = marks.select(m.WEEK, m.PERSON, pl.col(name).fill_nan(None)).drop_nulls()
        if len(rows):
            weights = rows.select(1 / pl.len().over(m.WEEK)).to_series().to_numpy()
            values, people = rows[name].to_numpy(), rows[m.PERSON].to_numpy()
            interval = paired_interval(values, np.zeros(len(rows)), users=people, weights=weights, seed=seed)
            found |= {f"{name}.low": interval.low, f"{name}.high": interval.high}
    return found


def sliced(marks: pl.DataFrame) -> pl.DataFrame:
    """One row a group of people, `slice, group, users` and the mean of every metric; then one a group of items, whose
    one figure is recall on its labels alone."""
    metrics = m.metrics_in(marks)
    per_user = {name: marks[name].to_numpy() for name in metrics}
    words = {name.removeprefix(m.USERS): marks[name].to_numpy() for name in m.words_in(marks)}
    recall = next((name for name in metrics if name.startswith("recall")), "recall")
    items = [
        {"slice": "items", "group": name.removeprefix(m.ITEMS), "users": len(known), recall: known.mean()}
        for name in m.items_in(marks)
        if len(known := marks[name].fill_nan(None).drop_nulls()) >= m.MIN_USERS
    ]
    kinds = {"slice": pl.String, "group": pl.String, "users": pl.UInt32, recall: pl.Float64}
    return pl.concat([slice_table(per_user, words), pl.DataFrame(items, schema=kinds)], how="diagonal")


def flat(slices: pl.DataFrame) -> dict[str, float]:
    """`slice/history.light/ndcg_at_20` and the like."""
    return {
        f"slice/{row['slice']}.{row['group']}/{name}": value
        for row in slices.iter_rows(named=True)
        for name, value in row.items()
        if name not in {"slice", "group"} and value is not None
    }
