"""Everything that can be set about the second look."""

from pydantic import BaseModel, ConfigDict

from ranking.candidates import CandidateConfig
from ranking.reranker import RerankerConfig
from ranking.slate import SlateConfig


class RankingConfig(BaseModel):
    """One config a part; a release carries it, so that the server ranks as the night measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: CandidateConfig = CandidateConfig()
    reranker: RerankerConfig = RerankerConfig()
    slate: SlateConfig = SlateConfig()
