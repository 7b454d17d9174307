"""What was measured, as files: one row a person and method, without a name, and the means of each week."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from evaluation import MethodMetrics
from evaluation.segment_metrics import GroupLabels
from ranking.feature_arrays import Rows

REHEARSALS = "rehearsals"
"""The folder, beside the measured weeks, of those before them."""
PER_USER, GROUPS, MEANS = "per_user.parquet", "groups.parquet", "means.json"


@dataclass(frozen=True)
class WeekMetrics:
    """The methods on the days after one cut."""

    cut: datetime
    users: Rows  # [U] numbers of the people within this run: who is who over several weeks
    methods: list[MethodMetrics]
    candidate_recall: float
    groups: dict[str, GroupLabels]
    """The group [U] of each person by the slice's name; small groups are together."""


def write_weeks(weeks: list[WeekMetrics], folder: Path) -> None:
    """Write `per_user.parquet`, `groups.parquet` and `means.json`."""
    folder.mkdir(exist_ok=True)
    rows = [
        pl.DataFrame(dict(method.per_user)).select(
            pl.lit(number, pl.Int32).alias("week"),
            pl.lit(method.name).alias("method"),
            pl.Series("person", week.users),
            pl.all(),
        )
        for number, week in enumerate(weeks)
        for method in week.methods
    ]
    pl.concat(rows, how="diagonal").write_parquet(folder / PER_USER, compression="zstd")
    groups = [
        pl.DataFrame(week.groups, schema=dict.fromkeys(week.groups, pl.String)).select(
            pl.lit(number, pl.Int32).alias("week"), pl.all()
        )
        for number, week in enumerate(weeks)
    ]
    pl.concat(groups).write_parquet(folder / GROUPS, compression="zstd")
    means = [
        {
            "cut": week.cut.isoformat(),
            "candidate_recall": week.candidate_recall,
            "methods": {method.name: dict(method.means) for method in week.methods},
        }
        for week in weeks
    ]
    (folder / MEANS).write_text(json.dumps(means, indent=1))


def read_weeks(folder: Path) -> list[WeekMetrics]:
    """Read them back; none where none were written."""
    if not (folder / MEANS).exists():
        return []
    rows, groups = pl.read_parquet(folder / PER_USER), pl.read_parquet(folder / GROUPS)
    means = json.loads((folder / MEANS).read_text())
    return [
        WeekMetrics(
            datetime.fromisoformat(said["cut"]),
            rows.filter(week=number, method=next(iter(said["methods"])))["person"].to_numpy(),
            [
                _measured(rows.filter(week=number, method=name), name, figures)
                for name, figures in said["methods"].items()
            ],
            said["candidate_recall"],
            {name: column.to_numpy() for name, column in groups.filter(week=number).drop("week").to_dict().items()},
        )
        for number, said in enumerate(means)
    ]


def _measured(rows: pl.DataFrame, name: str, means: dict[str, float]) -> MethodMetrics:
    figures = rows.drop("week", "method", "person")
    per_user = {
        column: figures[column].to_numpy()
        for column in figures.columns
        if figures[column].null_count() < len(figures) or not len(figures)
    }
    return MethodMetrics(name, len(rows), per_user, means)
