"""The context of one run, which every stage receives: lakes, time splits, settings, configs and stores."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
from pydantic import Field, model_validator
from pydantic_core import to_json
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts import Flag, Settings, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import UNREADABLE, opted_out
from contracts.setting_variables import NESTED, given_variables, names, refuse_unknown
from evaluation.gate_config import GateConfig
from models.two_tower.two_tower_config import TwoTowerConfig
from pipeline.lake import Lake
from pipeline.stage_progress import StageProgress
from pipeline.time_splits import TimeSplits, night_splits
from ranking.rank_users import RankingConfig
from serving.index_config import IndexConfig
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.opt_out_store import OptOutStore
from serving.stores.event_store import EventStore

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from pipeline.experiments.mlflow_logger import MlflowLogger

Summary = dict[str, Any]
"""The counts, figures and names that a stage reports; never a user id."""


class NightConfig(BaseSettings):
    """The config of each component; for example `TASTEFEED_TWO_TOWER__EPOCHS=5`."""

    model_config = SettingsConfigDict(env_prefix="TASTEFEED_", env_nested_delimiter="__", frozen=True, extra="forbid")

    two_tower: TwoTowerConfig = TwoTowerConfig()
    epochs_a_cut: int = Field(
        1, ge=1, description="epochs with which a later cutoff continues the model of the one before"
    )
    ranking: RankingConfig = RankingConfig()
    index: IndexConfig = IndexConfig()
    gates: GateConfig = GateConfig()

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        """Refuse a variable of a component that has no such field; `Settings` refuses all others."""
        components = {name for name in names(cls) if NESTED not in name}
        refuse_unknown(names(cls), (name for name in given_variables() if name.split(NESTED)[0] in components))
        return values

    def seeded(self, seed: int) -> Self:
        """With the seed of a run for the re-ranker and the gates, unless their own variables are set."""
        reranker, gates = (
            config.model_copy(update={} if "seed" in config.model_fields_set or config.seed == seed else {"seed": seed})
            for config in (self.ranking.reranker, self.gates)
        )
        return self.model_copy(
            update={"ranking": self.ranking.model_copy(update={"reranker": reranker}), "gates": gates}
        )

    @property
    def continued(self) -> TwoTowerConfig:
        """The two-tower's config where it continues an earlier model: a few epochs over all examples, no validation."""
        return self.two_tower.model_copy(update={"epochs": self.epochs_a_cut, "validation_days": 0.0})


@dataclass(frozen=True)
class RunContext:
    """One run over one lake.

    `home` holds the landing zone, the opt-outs and the releases. `lake` holds the derived tables; a backtest keeps
    those in a scratch lake.
    """

    home: Lake
    lake: Lake
    splits: TimeSplits
    settings: Settings
    config: NightConfig
    label: str = ""
    """The name that the user gave the run, shown in MLflow and by `tastefeed compare`."""
    publish: bool = False
    """Whether the release serves even if one of a later day does."""
    tracked_in: Lake | None = None
    """The folder with the MLflow database of the run; none: `home`."""

    @cached_property
    def spark(self) -> "SparkSession":
        """The Spark session of this process."""
        from features import spark  # noqa: PLC0415  half the stages need no JVM

        return spark(self.settings)

    @cached_property
    def progress(self) -> StageProgress:
        """Shows what a stage does."""
        return StageProgress()

    @cached_property
    def opt_out_service(self) -> OptOutService:
        """The two stores, kept in line with each other."""
        return OptOutService.of(self.settings)

    @property
    def opt_outs(self) -> OptOutStore:
        """The opt-out store, which is read at each call."""
        return self.opt_out_service.opt_outs

    @property
    def pending_events(self) -> EventStore:
        """The events that were posted to the server and are not yet ingested."""
        return self.opt_out_service.events

    @property
    def releases(self) -> Path:
        """The folder of releases."""
        return self.settings.release_root

    @cached_property
    def mlflow(self) -> "MlflowLogger":
        """The logger of the night's runs in MLflow."""
        from pipeline.experiments.mlflow_logger import MlflowLogger  # noqa: PLC0415  slow to import, and few stages track

        return MlflowLogger(self.settings, self.tracked_in or self.home)

    def read(self, table: str) -> "DataFrame":
        """A derived table of this run as a Spark frame."""
        return self.lake.read(self.spark, table, self.splits.as_of)

    def overwrite(self, table: str, rows: Any) -> None:
        """Replace this run's partition of a derived table."""
        self.lake.overwrite(table, self.splits.as_of, rows)

    @property
    def mlflow_run(self) -> str:
        """The id of the night's parent run in MLflow, which the first stage opens."""
        return str(self.summary("forget")["mlflow_run"])

    def count(self, table: str) -> int:
        """The number of rows of a derived table of this run."""
        return int(self.lake.dataset(table, self.splits.as_of).count_rows())

    def unreadable_users(self) -> "DataFrame":
        """The users whose data must not be read."""
        return self._users(UNREADABLE)

    def untrainable_users(self) -> "DataFrame":
        """The users whose data must not train a shared model."""
        return self._users((*UNREADABLE, Flag.TRAINING))

    def _users(self, flags: Iterable[Flag]) -> "DataFrame":
        users = opted_out(self.opt_outs, SubjectType.USER, flags)
        # from Arrow: rows handed over as Python objects would start Python workers in every stage
        return self.spark.createDataFrame(pa.table({c.USER_ID: pa.array(sorted(users), pa.string())}))

    def write_summary(self, stage: str, summary: Summary) -> None:
        """Write the summary of a stage, in place of an earlier one; a figure that is no number becomes null."""
        path = self._summary_path(stage)
        self.lake.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self.lake.replace_file(path, to_json(summary, indent=1, fallback=str, inf_nan_mode="null"))

    def clear_summaries(self) -> None:
        """Remove the summaries of an earlier run of this night."""
        folder = self.lake.partition("nights", self.splits.as_of)
        if self.lake.fs.exists(folder):
            self.lake.fs.rm(folder, recursive=True)

    def summary(self, stage: str) -> Summary:
        """The last summary of a stage; empty where it has not run."""
        try:
            return dict(json.loads(self.lake.fs.cat_file(self._summary_path(stage))))
        except FileNotFoundError:
            return {}

    def clear_summary(self, stage: str) -> None:
        """Remove the summary of a stage."""
        self.lake.fs.rm(self._summary_path(stage))

    def _summary_path(self, stage: str) -> str:
        return f"{self.lake.partition('nights', self.splits.as_of)}/{stage}.json"


def open_run_context(
    lake: str, as_of: date, settings: Settings | None = None, *, label: str = "", publish: bool = False
) -> RunContext:
    """The context of the night of a day on a lake, with settings from the environment unless they are given."""
    settings, home = (settings or Settings()).model_copy(update={"lake": lake}), Lake(lake)
    splits = night_splits(
        as_of,
        holdout_days=settings.holdout_days,
        label_weeks=settings.label_weeks,
        rehearsal_weeks=settings.rehearsal_weeks,
    )
    return RunContext(home, home, splits, settings, NightConfig().seeded(settings.seed), label, publish)
