"""The configs of the night's components. The environment variable `TASTEFEED_<COMPONENT>__<FIELD>` sets a field."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from evaluation.gate_config import GateConfig
from models.two_tower.two_tower_config import TwoTowerConfig
from ranking.rank_users import RankingConfig
from serving.ann_index import IndexConfig


class NightConfig(BaseSettings):
    """The config of each component; for example `TASTEFEED_TWO_TOWER__EPOCHS=5`."""

    model_config = SettingsConfigDict(env_prefix="TASTEFEED_", env_nested_delimiter="__", frozen=True, extra="forbid")

    two_tower: TwoTowerConfig = TwoTowerConfig()
    epochs_a_cut: int = Field(
        1, ge=1, description="epochs with which a later cut continues the model of the one before"
    )
    ranking: RankingConfig = RankingConfig()
    index: IndexConfig = IndexConfig()
    gates: GateConfig = GateConfig()

    @property
    def continued(self) -> TwoTowerConfig:
        """The two-tower's config where it continues an earlier model: a few epochs over all examples, no validation."""
        return self.two_tower.model_copy(update={"epochs": self.epochs_a_cut, "validation_days": 0.0})
