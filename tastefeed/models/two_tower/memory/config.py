"""What a memory two-tower *is*."""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

ReadoutName = Literal["space", "ease", "bag", "ridge", "attention"]
READOUTS: tuple[str, ...] = get_args(ReadoutName)
"""Encoders of a history, of which validation selects one."""
Change = Mapping[str, Any]
"""Settings that go together; a mapping as a value changes some settings of a part."""
Begins = Literal["space", "noise"]


class AttentionConfig(BaseModel):
    """Sizes and steps of what reads a window of touches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(128, ge=1, description="dimensions of items and people; whole ones for each head")
    window: int = Field(128, ge=2, description="touches that are seen at once")
    layers: int = Field(2, ge=1, description="blocks of attention")
    heads: int = Field(4, ge=1, description="heads of each block")
    widening: int = Field(4, ge=1, description="units of a block's inner layer for each dimension")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of units left out in training")
    begins: Begins = Field("space", description="where item vectors are before training")
    distances: bool = Field(True, description="whether heads have a bias for each distance")
    epochs: int = Field(12, ge=1, description="passes over the lessons; the best on validation stays")
    fewest_steps: int = Field(
        1500, ge=1, description="steps below which there are more passes, four times as many at most"
    )
    lessons: int = Field(1_000_000, ge=1, description="touches of a pass, about, at most")
    batch_size: int = Field(2048, ge=1, description="touches of a step, about")
    learning_rate: float = Field(2e-3, gt=0, description="highest step, of a schedule that rises once and falls")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's, of matrices")
    negatives: int = Field(4096, ge=1, description="sampled items of a step, where there are more than these")


class BagConfig(BaseModel):
    """Sizes and steps of items that learn to be summed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(1024, ge=1, description="dimensions of items and people; fewer where time is short")
    temperature: float = Field(0.1, gt=0, description="what cosines are divided by")
    begins: Begins = Field("space", description="where item vectors are before training")
    epochs: int = Field(4, ge=1, description="passes over the people")
    fewest_steps: int = Field(60, ge=1, description="steps below which there are more passes")
    batch_size: int = Field(2048, ge=1, description="people of a step")
    learning_rate: float = Field(0.015, gt=0, description="highest step, of a schedule that rises once and falls")
    share: float = Field(0.75, ge=0, le=1, description="of the score; the item space has the rest")


class MemoryConfig(BaseModel):
    """Sizes, powers and steps; `fit_memory` chooses them, starting from these."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    readout: ReadoutName = Field("space", description="what reads what a person touched")
    embedding_size: int = Field(256, ge=1, description="dimensions of the item space")
    user_power: float = Field(0.3, ge=0, description="a user of n items weighs n^-this in the item space")
    item_power: float = Field(0.4, ge=0, description="an item of n users weighs n^-this in the item space")
    spectrum_power: float = Field(0.0, description="0: all dimensions weigh the same; 1: as the spectrum has it")
    shrinkage: float = Field(
        0.0,
        ge=0,
        description="0: none; else a dimension of strength s, 1 at most, weighs s^2 / (s^2 + this), as in EASE",
    )
    popularity_power: float = Field(0.2, description="the score of an item of n users is scaled by n^this")
    half_lives: tuple[float, ...] = Field(
        (math.inf,), min_length=1, description="touches after which each memory has halved"
    )
    lessons: int = Field(1_000_000, ge=1, description="ridge: positions that it learns from, about, at most")
    ridge: float = Field(100.0, gt=0, description="ridge: L2 penalty")
    bag: BagConfig = Field(BagConfig(), description="bag: sizes and steps")
    attention: AttentionConfig = Field(AttentionConfig(), description="attention: sizes and steps")

    @property
    def chosen(self) -> dict[str, Any]:
        """The readout, and what differs from the other defaults, as JSON holds it: endless half-lives are text."""
        return {"readout": self.readout, **json.loads(self.model_dump_json(exclude_defaults=True))}

    def changed(self, change: Change) -> Self:
        """With some settings replaced."""
        parts = {name: value for name, value in change.items() if isinstance(value, Mapping)}
        changed = {name: getattr(self, name).model_copy(update=part) for name, part in parts.items()}
        return self.model_copy(update={**change, **changed})
