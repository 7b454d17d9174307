"""What a linear two-tower *is*."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LinearConfig(BaseModel):
    """Sizes and powers; `fit_linear` chooses them, starting from these."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    encoder: Literal["bag", "memory"] = Field("bag", description="a person as all they touched, or as fading memories")
    embedding_size: int = Field(256, ge=1, description="dimensions of the item space")
    user_power: float = Field(0.3, ge=0, description="a user of n items weighs n^-this in the item space")
    item_power: float = Field(0.4, ge=0, description="an item of n users weighs n^-this in the item space")
    spectrum_power: float = Field(0.0, ge=0, description="0: all dimensions weigh the same; 1: as the spectrum has it")
    popularity_power: float = Field(0.2, description="the score of an item of n users is scaled by n^this")
    half_lives: tuple[float, ...] = Field(
        (0.5, 2.0, 6.0, 20.0, 80.0), min_length=1, description="memory: events after which each memory has halved"
    )
    ridge: float = Field(100.0, gt=0, description="memory: L2 penalty of the readout")
    lessons: int = Field(1_000_000, ge=1, description="memory: positions that the readout learns from, about, at most")
