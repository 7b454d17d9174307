"""The settings of the gates, as `TASTEFEED_GATES__…`: what a release is compared with, and how much it may lose."""

from pydantic import BaseModel, ConfigDict, Field


class GateConfig(BaseModel):
    """What a release is held against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field("ndcg_at_20", description="per-user metric that is compared")
    must_beat: tuple[str, ...] = Field(
        ("newest_first", "popular_1d", "popular_7d", "popular_28d"), description="methods that the final list must beat"
    )
    retrieval_must_beat: tuple[str, ...] = Field(
        ("popular_28d", "item_knn"), description="methods that retrieval alone must beat"
    )
    reranked_must_beat: tuple[str, ...] = Field(("two_tower",), description="methods that re-ranking must beat")
    min_gain: float = Field(0.0, description="mean gain over each of them must be above this")
    max_loss: float = Field(0.1, ge=0, description="loss against one of them that the interval must rule out")
    max_champion_loss: float = Field(0.1, ge=0, le=1, description="share of the champion's mean that may be lost")
    judged_slices: tuple[str, ...] = Field(("language", "region"), description="slices held against the champion")
    max_slice_loss: float = Field(0.2, ge=0, le=1, description="share of the champion's mean that a group may lose")
    min_slice_users: int = Field(20, ge=2, description="measured users below which a group is part of `other`")
    min_index_recall: float = Field(0.95, ge=0, le=1, description="recall@100 of the index against exact search")
    min_users: int = Field(20, ge=2, description="measured users below which nothing is compared")
    max_overlap: float = Field(0.6, ge=0, le=1, description="share of their first ten items that two users may share")
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence of intervals")
    seed: int = Field(7, description="seed of the resampling; unset: TASTEFEED_SEED")
