"""What a memory two-tower *is*."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MemoryConfig(BaseModel):
    """Sizes, powers and steps; `fit_memory` chooses them, starting from these."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    readout: Literal["space", "ridge", "network"] = Field("space", description="what reads a person's memories")
    embedding_size: int = Field(256, ge=1, description="dimensions of the item space")
    user_power: float = Field(0.3, ge=0, description="a user of n items weighs n^-this in the item space")
    item_power: float = Field(0.4, ge=0, description="an item of n users weighs n^-this in the item space")
    spectrum_power: float = Field(0.0, description="0: all dimensions weigh the same; 1: as the spectrum has it")
    popularity_power: float = Field(0.2, description="the score of an item of n users is scaled by n^this")
    half_lives: tuple[float, ...] = Field(
        (math.inf,), min_length=1, description="touches after which each memory has halved"
    )
    lessons: int = Field(1_000_000, ge=1, description="positions that a readout learns from, about, at most")
    ridge: float = Field(100.0, gt=0, description="ridge: L2 penalty")
    hidden_size: int = Field(1536, ge=1, description="network: units of the hidden layer")
    dropout: float = Field(0.25, ge=0, lt=1, description="network: share of units left out in training")
    epochs: int = Field(5, ge=1, description="network: passes over the lessons; the best on validation stays")
    batch_size: int = Field(1024, ge=1, description="network: lessons of a step")
    learning_rate: float = Field(2e-3, gt=0, description="network: highest step, of a one-cycle schedule")
    weight_decay: float = Field(0.05, ge=0, description="network: AdamW's")
    negatives: int = Field(4096, ge=1, description="network: sampled items of a step, where there are more than these")
