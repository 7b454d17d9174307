"""What every stage is handed: the lake, the plan, the settings. And how one stage is run, timed and summed up."""

import json
import time
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tastefeed.contracts import Settings
from tastefeed.pipeline.config import NightConfig
from tastefeed.pipeline.console import say
from tastefeed.pipeline.lake import Lake
from tastefeed.pipeline.plan import Plan, night_plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tastefeed.serving.opt_outs import OptOutStore

Summary = dict[str, Any]
"""What a stage tells of its work: counts, figures, names. Never a user."""


@dataclass(frozen=True)
class Night:
    """One run over one lake. `home` holds landing zone, opt-outs and releases; `lake` the derived tables (in a backtest,
    a scratch lake)."""

    home: Lake
    lake: Lake
    plan: Plan
    settings: Settings
    config: NightConfig

    @cached_property
    def spark(self) -> "SparkSession":
        """The process's Spark session."""
        from tastefeed.features import spark  # noqa: PLC0415  half the stages need no JVM

        return spark(self.settings)

    @cached_property
    def opt_outs(self) -> "OptOutStore":
        """The opt-out store, read at each question."""
        from tastefeed.serving.opt_outs import OptOutStore  # noqa: PLC0415

        return OptOutStore(opt_out_url(self.settings, self.home))

    def read(self, table: str) -> "DataFrame":
        """A derived table of this run as a Spark frame."""
        return self.lake.read(self.spark, table, self.plan.as_of)

    def overwrite(self, table: str, rows: Any) -> None:
        """Replace this run's partition of a derived table."""
        self.lake.overwrite(table, self.plan.as_of, rows)

    def users_frame(self, users: frozenset[str]) -> "DataFrame":
        """A set of user ids as a Spark frame."""
        return self.spark.createDataFrame([(user,) for user in sorted(users)], "user_id string")

    def write_summary(self, stage: str, summary: Summary) -> None:
        """Keep what a stage said, replacing what it said before."""
        path = self._summary_path(stage)
        self.lake.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self.lake.replace_file(path, json.dumps(summary, indent=1, default=str).encode())

    def summary(self, stage: str) -> Summary:
        """What a stage said last; empty where it has not run."""
        try:
            return dict(json.loads(self.lake.fs.cat_file(self._summary_path(stage))))
        except FileNotFoundError:
            return {}

    def _summary_path(self, stage: str) -> str:
        return f"{self.lake.partition('nights', self.plan.as_of)}/{stage}.json"


def opt_out_url(settings: Settings, home: Lake) -> str:
    """The opt-out store's URL: the setting, else SQLite in the lake's folder."""
    return settings.opt_out_url or f"sqlite:///{home.folder.absolute()}/opt_outs.db"


def open_night(lake: str, as_of: date, settings: Settings | None = None) -> Night:
    """The night of a day on a lake, with settings from the environment."""
    settings, home = settings or Settings(), Lake(lake)
    plan = night_plan(as_of, holdout_days=settings.holdout_days, label_weeks=settings.label_weeks)
    return Night(home, home, plan, settings, NightConfig())


def run_stage(night: Night, stage: str) -> Summary:
    """Run one stage by its name, time it, keep and print its summary."""
    started = time.perf_counter()
    function = getattr(import_module(f"tastefeed.pipeline.stages.{stage}"), stage)
    summary: Summary = function(night) or {}
    summary = {"seconds": round(time.perf_counter() - started, 2), **summary}
    night.write_summary(stage, summary)
    say(stage, summary)
    return summary
