"""The metrics of one run: files with one row a user and method, without ids, and tables without any user."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic_core import to_json

from evaluation import MethodMetrics, WeekMetrics, mean_interval
from evaluation.segment_metrics import GroupLabels
from pipeline.lake import parquet

REHEARSALS = "rehearsals"
"""The folder, beside the files of the held-out weeks, for the weeks of the rehearsal cutoffs."""
PER_USER, GROUPS, MEANS = "per_user.parquet", "groups.parquet", "means.json"


@dataclass(frozen=True)
class EvaluatedWeek(WeekMetrics):
    """The metrics of every method on the label window of one cutoff, and what else a run stores of that week."""

    cutoff: datetime
    candidate_recall: float
    segments: dict[str, GroupLabels]
    """The segment [U] of each user, by the name of the segmentation; small segments are merged."""


def write_weeks(weeks: Sequence[EvaluatedWeek], folder: Path) -> None:
    """Write `per_user.parquet`, `groups.parquet` and `means.json`."""
    folder.mkdir(exist_ok=True)
    rows = [_rows(number, week, method) for number, week in enumerate(weeks) for method in week.methods]
    (folder / PER_USER).write_bytes(parquet(pl.concat(rows, how="diagonal")))
    groups = [_groups(number, week) for number, week in enumerate(weeks)]
    (folder / GROUPS).write_bytes(parquet(pl.concat(groups)))
    (folder / MEANS).write_bytes(to_json([_means(week) for week in weeks], indent=1, inf_nan_mode="null"))


def _rows(number: int, week: EvaluatedWeek, method: MethodMetrics) -> pl.DataFrame:
    of_week, name = pl.lit(number, pl.Int32).alias("week"), pl.lit(method.name).alias("method")
    return pl.DataFrame(dict(method.per_user)).select(of_week, name, pl.Series("person", week.users), pl.all())


def _groups(number: int, week: EvaluatedWeek) -> pl.DataFrame:
    segments = pl.DataFrame(week.segments, schema=dict.fromkeys(week.segments, pl.String))
    return segments.select(pl.lit(number, pl.Int32).alias("week"), pl.all())


def _means(week: EvaluatedWeek) -> dict[str, object]:
    methods = {method.name: dict(method.means) for method in week.methods}
    return {"cut": week.cutoff.isoformat(), "candidate_recall": week.candidate_recall, "methods": methods}


def read_weeks(folder: Path) -> list[EvaluatedWeek]:
    """Read what `write_weeks` wrote; an empty list where it wrote nothing."""
    if not (folder / MEANS).exists():
        return []
    rows, segments = pl.read_parquet(folder / PER_USER), pl.read_parquet(folder / GROUPS)
    weeks = json.loads((folder / MEANS).read_text())
    return [
        _read_week(week, rows.filter(week=number), segments.filter(week=number).drop("week"))
        for number, week in enumerate(weeks)
    ]


def _read_week(week: dict[str, Any], rows: pl.DataFrame, segments: pl.DataFrame) -> EvaluatedWeek:
    users = rows.filter(method=next(iter(week["methods"])))["person"].to_numpy()
    methods = [_read_method(rows.filter(method=name), name, means) for name, means in week["methods"].items()]
    groups = {name: column.to_numpy() for name, column in segments.to_dict().items()}
    return EvaluatedWeek(users, methods, datetime.fromisoformat(week["cut"]), _number(week["candidate_recall"]), groups)


def _number(stored: float | None) -> float:
    """A mean as it was computed: NaN, which JSON lacks, where no user was measured."""
    return math.nan if stored is None else stored


def _read_method(rows: pl.DataFrame, name: str, means: dict[str, float | None]) -> MethodMetrics:
    metrics = rows.drop("week", "method", "person")
    per_user = {
        column: metrics[column].to_numpy()
        for column in metrics.columns
        if metrics[column].null_count() < len(metrics) or not len(metrics)
    }
    return MethodMetrics(name, len(rows), per_user, {metric: _number(mean) for metric, mean in means.items()})


@dataclass(frozen=True)
class MetricsTables:
    """The metrics of one run as tables that hold no user."""

    means: pl.DataFrame
    """`method, users`, then the metrics."""
    intervals: pl.DataFrame
    """`method, metric, mean, low, high`."""
    people: pl.DataFrame
    """`method, slice, group, users`, then metrics: the segments of users."""
    items: pl.DataFrame
    """`method, group, labels, users, recall_at_20`: the segments of items."""

    @property
    def named(self) -> dict[str, pl.DataFrame]:
        """Each table by the name of its artifact."""
        return {"metrics": self.means, "intervals": self.intervals, "people": self.people, "items": self.items}

    @property
    def flat(self) -> dict[str, float]:
        """`final/ndcg_at_20`, with `_low` and `_high` where there is an interval."""
        means = {
            f"{row['method']}/{name}": row[name]
            for row in self.means.to_dicts()
            for name in self.means.columns[2:]
            if row[name] is not None
        }
        bounds = {
            f"{row['method']}/{row['metric']}_{bound}": row[bound]
            for row in self.intervals.to_dicts()
            for bound in ("low", "high")
            if row[bound] is not None
        }
        return means | bounds


def intervals_table(
    weeks: Sequence[EvaluatedWeek], metrics: Sequence[str], *, confidence: float, seed: int
) -> pl.DataFrame:
    """`metrics` of every method with bootstrap intervals over users; no row where no user was measured."""
    users = [week.users for week in weeks]
    rows = []
    for weekly in zip(*(week.methods for week in weeks), strict=True):
        for metric in metrics:
            values = [method.per_user[metric] for method in weekly if metric in method.per_user]
            if len(values) == len(weeks) and any(np.isfinite(week).any() for week in values):
                interval = mean_interval(values, users, confidence=confidence, seed=seed)
                rows.append((weekly[0].name, metric, interval.mean, interval.low, interval.high))
    numbers = dict.fromkeys(("mean", "low", "high"), pl.Float64)
    table = pl.DataFrame(rows, schema={"method": pl.String, "metric": pl.String, **numbers}, orient="row")
    return table.with_columns(pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in numbers)
