"""From tables to a trained two-tower: `train` is the only way to get one, beside `load`."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from contracts import columns as c
from contracts.errors import UnknownEncoder, UntrainableInput
from models.two_tower.catalogue import ItemCatalogue, column_of, encode_catalogue, hours_of
from models.two_tower.collaborative.collaborative_config import CollaborativeConfig
from models.two_tower.collaborative.fit import Fits
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder, codes_of
from models.two_tower.content_training import ContentTrainer
from models.two_tower.csr_interactions import Interactions
from models.two_tower.encoder_trials import EncoderTrials
from models.two_tower.encoders import Concatenation, ContentEncoder, concatenated
from models.two_tower.examples import encode_interactions, region_of
from models.two_tower.holdout import Encoder, HeldOut, hold_out
from models.two_tower.selection import LEAST_USERS, Selection, Selector
from models.two_tower.text import TextEmbedder, fit_text
from models.two_tower.training_loop import EpochResult, RunWith, device_of, repeatable_products
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabularies

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TrainedTwoTower:
    """A fitted model. Scores are plain inner products; it holds no user's id, history or vector."""

    encoder: Encoder
    config: TwoTowerConfig
    words: Vocabularies
    text: TextEmbedder
    selection: Selection | None = None
    """How the encoder was selected; None where the data were too small to select one."""
    epochs: tuple[EpochResult, ...] = ()
    anew: bool = False
    """Whether an earlier model gave the encoder and its selection, but no weights."""

    @property
    def encoder_name(self) -> str:
        """Which encoder it is."""
        return self.selection.selected if self.selection is not None else self.encoder.name

    @property
    def vector_size(self) -> int:
        """Columns of every vector."""
        return self.encoder.vector_size

    def embed_items(self, items: pl.DataFrame, as_of: datetime) -> Floats:
        """`[I, vector_size]` one vector a row of the items table, with its age at `as_of`; new items are welcome."""
        return self.encoder.item_vectors(self._catalogue(items), hours_of(as_of))

    def embed_users(
        self, examples: pl.DataFrame, items: pl.DataFrame, as_of: datetime, users: pl.DataFrame | None = None
    ) -> Floats:
        """`[U, vector_size]` one vector a row of retrieval_examples, from its events before `as_of`.

        `users` gives regions. Items of a history that `items` lacks are ignored. An empty history has a vector as well.
        """
        catalogue = self._catalogue(items)
        interactions = encode_interactions(examples, catalogue, users, self.words.regions)
        return self.encoder.user_vectors(catalogue, interactions, hours_of(as_of))

    def embed_text(self, items: pl.DataFrame) -> Floats:
        """`[I, T]` unit text vectors, zero where an item has no text."""
        return self.text.embed(items)

    def _catalogue(self, items: pl.DataFrame) -> ItemCatalogue:
        return encode_catalogue(items, self.words, self.text)


def train(
    examples: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame | None = None,
    *,
    config: TwoTowerConfig | None = None,
    seed: int,
    device: str = "auto",
    start: TrainedTwoTower | None = None,
    since: datetime | None = None,
    anew: bool = False,
    run_with: RunWith | None = None,
) -> TrainedTwoTower:
    """Select an encoder by validation, and fit it to the users whose `trainable` is true. The same seed and input give
    the same numbers.

    `start` continues an earlier model with its encoder: its words and text stay, new words are appended, and what is
    trained step by step goes on with users that have an interaction `since`. `anew` trains the same encoder from
    nothing, where its weights do not fit. Raises `UntrainableInput`, and `UncontinuableModel` where they do not.
    """
    config = config or (start.config if start else TwoTowerConfig())
    trainable = examples.filter(pl.col("trainable"))
    text = start.text if start else fit_text(items, config.text, seed)
    words = _extended(start.words if start else Vocabularies(), items, region_of(trainable, users))
    catalogue = encode_catalogue(items.sort(c.ITEM_ID), words, text)  # a first training's rows are those of the words
    interactions = _trainable_interactions(trainable, catalogue, users, words)
    curve: list[EpochResult] = []
    recorded = _recording(run_with or RunWith(), curve)
    content = ContentTrainer(catalogue, interactions, words, text, config, seed, device_of(device), recorded)
    with torch.random.fork_rng(), deterministic():
        if start is not None:
            encoder, selection = continued(start.encoder, content, since, anew=anew), start.selection
        else:
            encoder, selection = _selected(content)
    return TrainedTwoTower(encoder, config, words, text, selection, tuple(curve), anew)


def _trainable_interactions(
    trainable: pl.DataFrame, catalogue: ItemCatalogue, users: pl.DataFrame | None, words: Vocabularies
) -> Interactions:
    interactions = encode_interactions(trainable, catalogue, users, words.regions)
    if not len(interactions.items):
        raise UntrainableInput(
            f"{trainable.height} trainable users have no event with a known item; import events, or check the items"
        )
    return interactions


def _selected(content: ContentTrainer) -> tuple[Encoder, Selection | None]:
    interactions, catalogue, config = content.interactions, content.catalogue, content.config
    held_out = _held_out(content)
    applies = config.encoder == "content" or (config.encoder == "auto" and has_content(catalogue))
    own, seed = content if applies else None, content.seed
    trials = EncoderTrials(held_out, catalogue, interactions, config, seed, own, content.run_with, content.device)
    if len(held_out.users) >= LEAST_USERS:
        return Selector(trials).select()
    return (content.fitted(held_out) if applies else trials.unselected()), None


def _held_out(content: ContentTrainer) -> HeldOut:
    created_hours = content.catalogue.created_hours_I.numpy()
    return hold_out(content.interactions, created_hours, content.config, content.seed)


def has_content(catalogue: ItemCatalogue) -> bool:
    """Whether items have more than their ids: ages, creators, languages, categories or text."""
    codes = catalogue.creator_I, catalogue.language_I, catalogue.categories_IC, catalogue.text_IT
    return catalogue.has_ages or any(bool(each.any()) for each in codes)


def _recording(run_with: RunWith, curve: list[EpochResult]) -> RunWith:
    def on_epoch(result: EpochResult) -> None:
        curve.append(result)
        run_with.on_epoch(result)

    return replace(run_with, on_epoch=on_epoch)


@contextmanager
def deterministic() -> Iterator[None]:
    """Sums in one order: with several threads, gradients of embeddings are else added as threads happen to end."""
    repeatable_products()
    before = torch.get_deterministic_debug_mode()
    # `use_deterministic_algorithms` does the same, after seconds in which it loads torch's compiler
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _extended(words: Vocabularies, items: pl.DataFrame, regions: pl.Series) -> Vocabularies:
    """With the table's new words behind the existing ones."""
    categories = items[c.CATEGORIES].explode() if c.CATEGORIES in items.columns else pl.Series([], dtype=pl.String)
    return Vocabularies(
        words.items.extended(items[c.ITEM_ID]),
        words.creators.extended(column_of(items, c.CREATOR_ID)),
        words.categories.extended(categories),
        words.languages.extended(column_of(items, c.LANGUAGE)),
        words.regions.extended(regions),
    )


LEARNING_RATE = 0.25
"""Learning rate of a continued transformer, as a share of its first one."""


def continued(start: Encoder, data: ContentTrainer, since: datetime | None, *, anew: bool = False) -> Encoder:
    """Towers and transformers are trained on, or `anew`; closed forms and bags are fitted anew to everything."""
    if isinstance(start, Concatenation):
        parts = tuple(continued(part, data, since, anew=anew) for part in start.parts)
        return concatenated(parts, start.weights, data.catalogue, float(data.interactions.hours.max()) + 1)
    if isinstance(start, ContentEncoder):
        if anew:
            return data.fitted(_held_out(data))
        return data.continued(start, -math.inf if since is None else hours_of(since))
    if isinstance(start, CollaborativeEncoder):
        return _refitted(start, data, anew=anew)
    raise UnknownEncoder(f"{start.name} ({type(start).__name__}) cannot be continued; add it to `continued`")


def _refitted(start: CollaborativeEncoder, data: ContentTrainer, *, anew: bool) -> CollaborativeEncoder:
    everything = data.interactions.recoded(codes_of(data.catalogue), len(data.words.items.words))
    fits = Fits(everything, data.seed, data.run_with, device=data.device)
    if start.config.encoder != "sequence" or anew:
        return fits.encoder(start.config)
    epochs = 0 if data.run_with.deadline.passed else data.config.epochs
    return replace(fits.encoder(_going_on(start.config, epochs), start=start), config=start.config)


def _going_on(config: CollaborativeConfig, epochs: int) -> CollaborativeConfig:
    change = {"epochs": epochs, "min_steps": 1, "learning_rate": config.sequence.learning_rate * LEARNING_RATE}
    return config.changed({"sequence": change})
