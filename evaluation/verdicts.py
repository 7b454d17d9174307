"""The verdicts of the gates on one night."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import GateRefused
from evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Verdict:
    """What one gate saw. `measured` beside `wanted` are the two numbers it compared."""

    gate: str
    passed: bool
    measured: float
    wanted: float
    sentence: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Verdicts:
    """All gates of one night. `judged` is false where too few users were measured to compare rankings."""

    verdicts: tuple[Verdict, ...]
    judged: bool
    notes: tuple[str, ...] = ()
    """What could not be judged, and why."""

    @property
    def passed(self) -> bool:
        """Whether the release may serve."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The gates that refuse."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def require(verdicts: Verdicts) -> None:
    """Raise `GateRefused` with the sentence of every gate that failed."""
    if not verdicts.passed:
        why = "; ".join(verdict.sentence for verdict in verdicts.failed)
        raise GateRefused(f"the release is refused, the old one keeps serving: {why}")


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
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence of intervals")
    seed: int = Field(7, description="seed of the resampling")
