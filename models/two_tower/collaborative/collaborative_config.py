"""What an encoder of item ids *is*; `selection` chooses these settings, starting from the shipped ones."""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

CollaborativeName = Literal["svd", "ease", "ials", "bag", "ridge", "sequence"]
ItemInit = Literal["svd", "random"]
Change = Mapping[str, Any]
"""Settings that change together; a mapping as a value changes some settings of a part."""

GPU_BATCH_FACTOR = 8
"""On ML-1M's validation with an H100: NDCG@20 .2469 in 42 s, epochs of 1.4 s. Factor 4 gave .2405 in 32 s,
factor 16 .2483 in 47 s, and factor 8 without a higher learning rate .2368."""


class SequenceConfig(BaseModel):
    """Sizes and training of the causal transformer over item ids."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(128, ge=1, description="size of a vector; a multiple of heads")
    history_length: int = Field(128, ge=2, description="latest interactions that are encoded")
    layers: int = Field(2, ge=1, description="blocks of attention")
    heads: int = Field(4, ge=1, description="heads of each block")
    feed_forward_factor: int = Field(4, ge=1, description="units of a block's inner layer for each dimension")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of units left out in training")
    item_init: ItemInit = Field("svd", description="where item vectors are before training")
    relative_positions: bool = Field(True, description="whether heads have a bias for each distance")
    epochs: int = Field(12, ge=1, description="passes over the interactions; the best on validation stays")
    min_steps: int = Field(
        1500, ge=1, description="steps below which there are more epochs, four times as many at most"
    )
    interactions_per_epoch: int = Field(1_000_000, ge=1, description="interactions of an epoch, about, at most")
    batch_size: int = Field(2048, ge=1, description="interactions of a step, about")
    learning_rate: float = Field(2e-3, gt=0, description="peak of a schedule that rises once and falls")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's, of matrices")
    negatives: int = Field(4096, ge=1, description="sampled items of a step, where there are more than these")

    def on(self, device_type: str) -> Self:
        """The config of a device: a GPU trains in larger steps. The rate of Adam grows with the root of the batch
        (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms")."""
        if device_type != "cuda":
            return self
        rate = self.learning_rate * math.sqrt(GPU_BATCH_FACTOR)
        return self.model_copy(update={"batch_size": self.batch_size * GPU_BATCH_FACTOR, "learning_rate": rate})


class BagConfig(BaseModel):
    """Sizes and training of the bag of items."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(1024, ge=1, description="size of a vector; smaller where time is short")
    temperature: float = Field(0.1, gt=0, description="cosines are divided by this")
    item_init: ItemInit = Field("svd", description="where item vectors are before training")
    epochs: int = Field(4, ge=1, description="passes over the users")
    min_steps: int = Field(60, ge=1, description="steps below which there are more epochs")
    batch_size: int = Field(2048, ge=1, description="users of a step")
    learning_rate: float = Field(0.015, gt=0, description="peak of a schedule that rises once and falls")


class CollaborativeConfig(BaseModel):
    """Sizes and powers of an encoder of item ids."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    encoder: CollaborativeName = "svd"
    embedding_size: int = Field(256, ge=1, description="dimensions of the truncated SVD")
    user_power: float = Field(0.3, ge=0, description="a user of n items weighs n^-this in the SVD")
    item_power: float = Field(0.4, ge=0, description="an item of n users weighs n^-this in the SVD")
    spectrum_power: float = Field(0.0, description="0: all dimensions weigh the same; 1: as their singular values")
    shrinkage: float = Field(
        0.0,
        ge=0,
        description="0: none; else a dimension of singular value s, 1 at most, weighs s^2 / (s^2 + this), as in EASE",
    )
    popularity_power: float = Field(0.2, description="the score of an item of n users is scaled by n^this")
    half_lives: tuple[float, ...] = Field(
        (math.inf,), min_length=1, description="interactions after which each user state has halved"
    )
    max_positions: int = Field(1_000_000, ge=1, description="ridge: training examples, about, at most")
    ridge: float = Field(100.0, gt=0, description="ridge: L2 penalty")
    alpha: float = Field(40.0, gt=0, description="ials: confidence of an interaction")
    regularization: float = Field(30.0, ge=0, description="ials: L2 penalty")
    bag: BagConfig = Field(BagConfig(), description="bag: sizes and training")
    sequence: SequenceConfig = Field(SequenceConfig(), description="sequence: sizes and training")

    @property
    def chosen(self) -> dict[str, Any]:
        """The encoder's name, and what differs from the other defaults, as JSON: infinite half-lives are text."""
        return {"encoder": self.encoder, **json.loads(self.model_dump_json(exclude_defaults=True))}

    def changed(self, change: Change) -> Self:
        """With some settings replaced."""
        parts = {name: value for name, value in change.items() if isinstance(value, Mapping)}
        changed = {name: getattr(self, name).model_copy(update=part) for name, part in parts.items()}
        return self.model_copy(update={**change, **changed})
