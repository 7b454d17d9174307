"""What a two-tower *is*; where it runs (device, threads, seed) is an argument of `train`."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from models.two_tower.collaborative.collaborative_config import BagConfig, SequenceConfig

EncoderName = Literal["content", "sequence", "bag", "ridge", "ials", "ease", "svd"]
Protocol = Literal["last_days", "last_interactions", "random"]

GPU_BATCH_FACTOR = 16
"""On ML-1M with titles and genres, an H100 takes 1.8 s an epoch, with validation; NDCG@20 was .2041, with a rate four
times as high .1977."""


class TextConfig(BaseModel):
    """How an item's title becomes a vector. A given `embedding` column is used as it is, whatever stands here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tfidf-svd", "sentence-transformers"] = Field("tfidf-svd", description="how titles are embedded")
    size: int = Field(64, ge=1, description="size of a tfidf-svd vector")
    hash_bits: int = Field(14, ge=8, le=20, description="words and word pairs are hashed into 2^hash_bits columns")
    model: str = Field("all-MiniLM-L6-v2", description="name of the sentence-transformers model")


class TwoTowerConfig(BaseModel):
    """Which encoder, how it is validated, and sizes and training; the defaults suit an ordinary machine.

    Fields without a description of their own place are those of the content encoder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: Literal["auto"] | EncoderName = Field("auto", description="auto: the one that validates best")
    minutes: float = Field(
        10.0, gt=0, description="training time on two cores, about: of a night, over all its cutoffs"
    )
    validation: Protocol = Field(
        "last_days", description="what is held out: the last days, each user's last interaction, or a random tenth"
    )
    bag: BagConfig = BagConfig()
    sequence: SequenceConfig = SequenceConfig()

    embedding_size: int = Field(64, ge=2, description="size of the taste part of a vector")
    history_length: int = Field(50, ge=1, description="latest events that a user's vector is made of")
    layers: int = Field(1, ge=1, description="blocks of the attention encoder")
    heads: int = Field(2, ge=1, description="heads of each attention block; divides embedding_size")
    half_life_days: float = Field(14.0, gt=0, description="half-life of an event in the long-term mean")
    item_age: bool = Field(True, description="whether vectors include the age of items, where the catalogue has it")
    age_knots: int = Field(16, ge=2, description="knots of a user's curve over item age")
    age_max_days: float = Field(730.0, gt=0, description="items older than this are all equally old")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout where the user tower mixes its parts")
    item_id_dropout: float = Field(0.3, ge=0, lt=1, description="share of a batch's items that lose their id embedding")
    text: TextConfig = TextConfig()

    temperature: float = Field(0.1, gt=0, description="cosines are divided by this")
    save_weight: float = Field(2.0, ge=0, description="what a saved target weighs in the loss")
    click_weight: float = Field(1.0, ge=0, description="what a clicked target weighs in the loss")
    uniform_negatives: int = Field(256, ge=0, description="negatives drawn uniformly, beside those of the batch")
    batch_size: int = Field(32, ge=1, description="windows of at most history_length + 1 events in a step")
    learning_rate: float = Field(2e-3, gt=0, description="step size of AdamW")
    weight_decay: float = Field(1e-4, ge=0, description="decay of all weights at each step")
    epochs: int = Field(20, ge=1, description="epochs at most")
    patience: int = Field(2, ge=1, description="epochs without a better validation after which training stops")
    validation_days: float = Field(7.0, ge=0, description="last days to validate on; 0 leaves validation out")
    validation_share: float = Field(0.1, gt=0, lt=1, description="share of events that those days may hold at most")
    validation_k: int = Field(20, ge=1, description="depth of the validation lists")
    refit_epochs: int = Field(2, ge=0, description="epochs on everything, on from the best of the validation")

    def on(self, device_type: str) -> Self:
        """The config of a device: a GPU trains the content encoder in larger steps. The learning rate stays: it is
        constant, and a higher one validated worse (see `GPU_BATCH_FACTOR`)."""
        return (
            self.model_copy(update={"batch_size": self.batch_size * GPU_BATCH_FACTOR})
            if device_type == "cuda"
            else self
        )
