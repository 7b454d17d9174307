"""What each component of the night is: its own config, reachable as `TASTEFEED_<COMPONENT>__<FIELD>`."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from tastefeed.evaluation.gates import GateConfig
from tastefeed.models.two_tower.config import TwoTowerConfig
from tastefeed.ranking.config import RankingConfig
from tastefeed.serving.index import IndexConfig


class NightConfig(BaseSettings):
    """The components' configs; for example `TASTEFEED_TWO_TOWER__EPOCHS=5`."""

    model_config = SettingsConfigDict(env_prefix="TASTEFEED_", env_nested_delimiter="__", frozen=True, extra="forbid")

    two_tower: TwoTowerConfig = TwoTowerConfig()
    ranking: RankingConfig = RankingConfig()
    index: IndexConfig = IndexConfig()
    gates: GateConfig = GateConfig()
