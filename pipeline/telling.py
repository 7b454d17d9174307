"""What the night's parent run in MLflow says: config, data, code, counts, and every method's figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from contracts import __version__
from evaluation import markdown, mean_interval
from pipeline.code_version import git_commit
from pipeline.evaluation_data import DEEP, K
from pipeline.metrics_store import WeekMetrics
from pipeline.run_context import RunContext, Summary

WITH_INTERVALS = (f"ndcg_at_{K}", f"recall_at_{K}", f"recall_at_{DEEP}")
DECIDES = ("holdout_days", "label_weeks", "half_life_days", "session_gap_minutes", "max_bad_share", "seed")
"""The settings that decide what a night learns."""

COMMIT = "mlflow.source.git.commit"
"""MLflow's own name: its page shows it as the run's version."""


@dataclass(frozen=True)
class Tables:
    """What was measured, as tables without a person in them."""

    means: pl.DataFrame
    """`method, users`, then the metrics."""
    intervals: pl.DataFrame
    """`method, metric, mean, low, high`."""
    people: pl.DataFrame
    """`method, slice, group, users`, then metrics."""
    items: pl.DataFrame
    """`method, group, labels, users, recall_at_20`."""

    @property
    def named(self) -> dict[str, pl.DataFrame]:
        """Each table by the name of its artifact."""
        return {"metrics": self.means, "intervals": self.intervals, "people": self.people, "items": self.items}


def intervals_table(weeks: Sequence[WeekMetrics], night: RunContext) -> pl.DataFrame:
    """The main metrics of every method with their bootstrap intervals over people; none without measured people."""
    config, people = night.config.gates, [week.users for week in weeks]
    rows = []
    for weekly in zip(*(week.methods for week in weeks), strict=True):
        for metric in WITH_INTERVALS:
            values = [method.per_user[metric] for method in weekly if metric in method.per_user]
            if len(values) == len(weeks) and any(np.isfinite(week).any() for week in values):
                found = mean_interval(values, people, confidence=config.confidence, seed=config.seed)
                rows.append((weekly[0].name, metric, found.mean, found.low, found.high))
    numbers = dict.fromkeys(("mean", "low", "high"), pl.Float64)
    table = pl.DataFrame(rows, schema={"method": pl.String, "metric": pl.String, **numbers}, orient="row")
    return table.with_columns(pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in numbers)


def log_night(night: RunContext, tables: Tables, summary: Summary) -> None:
    """Log it all: figures by their name, tables as artifacts."""
    counts, run, tracking = night.summary("events"), night.mlflow_run, night.mlflow
    tracking.params(run, run_params(night))
    tracking.tags(run, {COMMIT: git_commit(), "champion": summary["champion"]})
    tracking.metrics(run, figures(tables))
    tracking.metrics(run, {name: summary[name] for name in ("index_recall_at_100", "candidate_recall")})
    tracking.metrics(run, {name: counts[name] for name in ("landed", "kept", "bad_share")})
    tracking.metrics(run, {f"quarantine/{reason}": rows for reason, rows in counts["quarantine"].items()})
    for name, table in tables.named.items():
        tracking.artifact(run, f"{name}.md", markdown(table, marked=table is tables.means))
        tracking.artifact(run, f"{name}.json", table.write_json())


def run_params(night: RunContext) -> Summary:
    """What ran on what."""
    settings = night.settings.model_dump()
    return {
        "as_of": night.splits.as_of,
        "data": night.summary("events")["fingerprint"],
        "code": __version__,
        "index": night.config.index.model_dump(),
        **{name: settings[name] for name in DECIDES},
    }


def figures(tables: Tables) -> dict[str, float]:
    """`final/ndcg_at_20`, with `_low` and `_high` where there is an interval."""
    means = {
        f"{row['method']}/{name}": row[name]
        for row in tables.means.to_dicts()
        for name in tables.means.columns[2:]
        if row[name] is not None
    }
    bounds = {
        f"{row['method']}/{row['metric']}_{bound}": row[bound]
        for row in tables.intervals.to_dicts()
        for bound in ("low", "high")
        if row[bound] is not None
    }
    return means | bounds
