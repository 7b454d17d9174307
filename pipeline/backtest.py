"""The night at past cutoffs, without publishing: the same stages in a scratch lake, averaged over weeks."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from contracts import Settings
from contracts.atomic_files import naming
from evaluation import (
    Interval,
    MethodMetrics,
    interval_over_weeks,
    macro_average,
    markdown,
    metrics_table,
    rich_table,
)
from evaluation.ranking_metrics import mean
from evaluation.results import FINAL
from pipeline.as_of_day import choose_as_of
from pipeline.console import console
from pipeline.console_report import shown
from pipeline.experiments.night_run import open_parent_run
from pipeline.experiments.open_runs import ended_with_block
from pipeline.lake import Lake, parquet
from pipeline.metrics_store import EvaluatedWeek, read_weeks
from pipeline.overlap_page import write_overlap_page
from pipeline.run_context import NightConfig, RunContext
from pipeline.stage_runner import run_stage
from pipeline.stages import STAGES
from pipeline.time_splits import backtest_splits

METRIC = "ndcg_at_20"


@dataclass(frozen=True)
class Backtest:
    """The metrics of all evaluated weeks, and their averages."""

    weeks: list[EvaluatedWeek]
    means: list[MethodMetrics]
    gains: dict[str, Interval]
    """The gain in NDCG@20 of the final list over each other method, paired over users."""

    @property
    def candidate_recall(self) -> float:
        """The share of labels that are among the candidates, averaged over the weeks that have labels."""
        return mean(np.array([week.candidate_recall for week in self.weeks]))

    def table(self) -> pl.DataFrame:
        """One row a method, with the gain of the final list over it."""
        gains = [str(self.gains[method.name]) if method.name in self.gains else "" for method in self.means]
        return metrics_table(self.means).with_columns(pl.Series("gain_of_final", gains))

    def document(self) -> dict[str, Any]:
        """The table and its weeks as JSON."""
        return {
            "weeks": len(self.weeks),
            "candidate_recall": self.candidate_recall,
            "methods": self.table().to_dicts(),
        }


def run_backtest(
    lake: str, as_of: date | None, *, weeks: int, settings: Settings, out: str, frontier: str = ""
) -> Backtest:
    """Measure the last `weeks` label windows before `as_of`, by default the end of the last complete day.

    `out` and `frontier` are folders for the tables and for what lists that differ between users cost; empty: none.
    """
    home, settings = Lake(lake), settings.model_copy(update={"lake": lake})
    chosen = choose_as_of(home, as_of, settings)
    console.print(chosen.line())
    day = chosen.day
    for written in filter(None, (out, frontier)):
        Path(written).mkdir(parents=True, exist_ok=True)  # a folder that cannot be written to fails before the work
    splits = backtest_splits(day, weeks=weeks, holdout_days=settings.holdout_days, label_weeks=settings.label_weeks)
    with home.scratch() as scratch:
        night = RunContext(home, scratch, splits, settings, NightConfig().seeded(settings.seed))
        night.write_summary("forget", {"mlflow_run": open_parent_run(night, f"backtest {day}, {weeks} weeks")})
        with ended_with_block(night.mlflow, night.mlflow_run):
            backtest = computed(night)
            if frontier:
                command = f"tastefeed backtest --weeks {weeks} --as-of {day} --frontier {frontier}"
                write_overlap_page(night, Path(frontier), command)
    show(backtest, day)
    if out:
        write(backtest, day, Path(out))
    return backtest


def computed(night: RunContext) -> Backtest:
    """The backtest after all of its stages."""
    for stage in STAGES.values():
        if stage.in_backtest:
            run_stage(night, stage.name)
    with night.lake.open_folder("metrics", night.splits.as_of) as folder:
        return backtest_of(read_weeks(folder), seed=night.settings.seed)


def backtest_of(weeks: list[EvaluatedWeek], *, seed: int = 7) -> Backtest:
    """The averages over weeks, and the paired intervals of the final list, with resamples of a seed."""
    methods = list(zip(*(week.methods for week in weeks), strict=True))
    final = next(weekly for weekly in methods if weekly[0].name == FINAL)
    ours = [week.per_user[METRIC] for week in final]
    users = [week.users for week in weeks]
    gains = {
        weekly[0].name: interval_over_weeks(ours, [week.per_user[METRIC] for week in weekly], users, seed=seed)
        for weekly in methods
        if weekly is not final
    }
    return Backtest(weeks, [macro_average(weekly) for weekly in methods], gains)


def show(backtest: Backtest, day: date) -> None:
    """Print the table."""
    title = f"{len(backtest.weeks)} weeks that end {day}"
    console.print(rich_table(shown(backtest.table(), "gain_of_final"), title))
    console.print(f"the candidates handed to the re-ranker hold {backtest.candidate_recall:.3f} of the labels")


def write(backtest: Backtest, day: date, folder: Path) -> None:
    """Write `backtest.md` and `metrics.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    weeks = len(backtest.weeks)
    head = f"# Backtest: {weeks} weeks that end {day}\n\n`tastefeed backtest --weeks {weeks} --as-of {day}`\n\n"
    tail = f"\nCandidates handed to the re-ranker hold {backtest.candidate_recall:.4f} of the labels.\n"
    with naming(folder):
        (folder / "backtest.md").write_text(head + markdown(backtest.table()) + tail)
        (folder / "metrics.parquet").write_bytes(parquet(metrics_table(backtest.means)))
