"""The honest part of the night at past cuts: the same stages in a scratch lake, nothing published."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from contracts import Settings
from evaluation import (
    Interval,
    MethodMetrics,
    interval_over_weeks,
    macro_average,
    markdown,
    metrics_table,
    rich_table,
)
from evaluation.results import FINAL
from pipeline.as_of_day import day_of_backtest
from pipeline.console import console
from pipeline.console_report import shown
from pipeline.lake import Lake
from pipeline.metrics_store import WeekMetrics, read_weeks
from pipeline.night_config import NightConfig
from pipeline.run_context import RunContext
from pipeline.stage_runner import run_stage
from pipeline.stages import STAGES
from pipeline.time_splits import backtest_splits

METRIC = "ndcg_at_20"


@dataclass(frozen=True)
class Backtest:
    """What the measured weeks say."""

    weeks: list[WeekMetrics]
    means: list[MethodMetrics]
    gains: dict[str, Interval]
    """The final ranking's gain in NDCG@20 over each other method, paired over people."""

    @property
    def candidate_recall(self) -> float:
        """The share of labels that the candidates hold, mean of weeks."""
        return sum(week.candidate_recall for week in self.weeks) / len(self.weeks)

    def table(self) -> pl.DataFrame:
        """One row a method, with the final ranking's gain over it."""
        gains = [str(self.gains[method.name]) if method.name in self.gains else "" for method in self.means]
        return metrics_table(self.means).with_columns(pl.Series("gain_of_final", gains))


def run_backtest(lake: str, as_of: date | None, *, weeks: int, settings: Settings, out: str) -> Backtest:
    """Measure the last `weeks` label windows before `as_of`, by default the last midnight that the events reach."""
    home = Lake(lake)
    day = day_of_backtest(home, as_of, settings.model_copy(update={"lake": lake}))
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)  # what cannot be written to is found before the work
    plan = backtest_splits(day, weeks=weeks, holdout_days=settings.holdout_days, label_weeks=settings.label_weeks)
    with home.scratch() as scratch:
        night = RunContext(home, scratch, plan, settings.model_copy(update={"lake": lake}), NightConfig())
        night.write_summary("forget", {"mlflow_run": night.mlflow.start(f"backtest {day}, {weeks} weeks")})
        for stage in STAGES.values():
            if stage.in_backtest:
                run_stage(night, stage.name)
        with scratch.open_folder("metrics", day) as folder:
            found = summed_up(read_weeks(folder))
        night.mlflow.end(night.mlflow_run)
    show(found, day)
    if out:
        write(found, day, Path(out))
    return found


def summed_up(weeks: list[WeekMetrics]) -> Backtest:
    """Means of weeks, and the final ranking's paired intervals."""
    methods = list(zip(*(week.methods for week in weeks), strict=True))
    final = next(weekly for weekly in methods if weekly[0].name == FINAL)
    ours = [week.per_user[METRIC] for week in final]
    people = [week.users for week in weeks]
    gains = {
        weekly[0].name: interval_over_weeks(ours, [week.per_user[METRIC] for week in weekly], people)
        for weekly in methods
        if weekly is not final
    }
    return Backtest(weeks, [macro_average(weekly) for weekly in methods], gains)


def show(found: Backtest, day: date) -> None:
    """Print the table."""
    console.print(rich_table(shown(found.table(), "gain_of_final"), f"{len(found.weeks)} weeks that end {day}"))
    console.print(f"the candidates handed to the re-ranker hold {found.candidate_recall:.3f} of what people took up")


def write(found: Backtest, day: date, folder: Path) -> None:
    """`backtest.md` and `metrics.parquet` for whoever compares."""
    folder.mkdir(parents=True, exist_ok=True)
    weeks = len(found.weeks)
    head = f"# Backtest: {weeks} weeks that end {day}\n\n`tastefeed backtest --weeks {weeks} --as-of {day}`\n\n"
    tail = f"\nCandidates handed to the re-ranker hold {found.candidate_recall:.4f} of the labels.\n"
    (folder / "backtest.md").write_text(head + markdown(found.table()) + tail)
    metrics_table(found.means).write_parquet(folder / "metrics.parquet")
