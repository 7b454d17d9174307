"""From tables to a trained two-tower: `train` is the only way to get one, beside `load`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from contracts import columns as c
from contracts.errors import UntrainableInput
from models.two_tower.catalogue import Catalogue, column_of, encode_catalogue, hours_of
from models.two_tower.config import TwoTowerConfig
from models.two_tower.examples import Sequences, encode_sequences, region_of
from models.two_tower.text import TextEmbedder, fit_text
from models.two_tower.towers import TwoTower
from models.two_tower.training import Lessons, OnEpoch, fit
from models.two_tower.validation import EpochResult, Validation, embed_items, embed_users
from models.two_tower.vocabulary import Vocabularies

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TrainedTwoTower:
    """A fitted model. Vectors compare by plain inner product; it holds no user's id, history or vector."""

    model: TwoTower
    words: Vocabularies
    text: TextEmbedder
    epochs: tuple[EpochResult, ...] = ()

    @property
    def config(self) -> TwoTowerConfig:
        """What it was built as."""
        return self.model.config

    @property
    def vector_size(self) -> int:
        """Columns of every vector: embedding_size, and the age part where the catalogue knows ages."""
        return self.config.embedding_size + self.model.age_columns

    def embed_items(self, items: pl.DataFrame, as_of: datetime) -> Floats:
        """`[I, vector_size]` one vector a row of the items table, with its age at `as_of`; new items are welcome."""
        return embed_items(self.model, self._catalogue(items), hours_of(as_of)).cpu().numpy()

    def embed_users(
        self, examples: pl.DataFrame, items: pl.DataFrame, as_of: datetime, users: pl.DataFrame | None = None
    ) -> Floats:
        """`[U, vector_size]` one vector a row of retrieval_examples, from its events before `as_of`.

        `users` gives regions. Items of a history that `items` lacks are ignored. An empty history has a vector as well.
        """
        catalogue = self._catalogue(items)
        sequences = encode_sequences(examples, catalogue, users, self.words.regions)
        return embed_users(self.model, catalogue, sequences, hours_of(as_of)).cpu().numpy()

    def embed_text(self, items: pl.DataFrame) -> Floats:
        """`[I, T]` unit text vectors, zero where an item has no text."""
        return self.text.embed(items)

    def _catalogue(self, items: pl.DataFrame) -> Catalogue:
        return encode_catalogue(items, self.words, self.text).to(next(self.model.parameters()).device)


def train(
    examples: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame | None = None,
    *,
    config: TwoTowerConfig | None = None,
    seed: int,
    device: str = "auto",
    start: TrainedTwoTower | None = None,
    on_epoch: OnEpoch = lambda _: None,
) -> TrainedTwoTower:
    """Learn from the users whose `trainable` is true. The same seed and input give the same numbers.

    The last `validation_days` decide the epoch; from there a few epochs on everything follow.
    `start` continues from earlier weights: its words and text stay, new words are appended. Raises `UntrainableInput`.
    """
    config = config or (start.config if start else TwoTowerConfig())
    teachers = examples.filter(pl.col("trainable"))
    text = start.text if start else fit_text(items, config.text, seed)
    words = _extended(start.words if start else Vocabularies(), items, region_of(teachers, users))
    catalogue = encode_catalogue(items, words, text)
    sequences = encode_sequences(teachers, catalogue, users, words.regions)
    if not len(sequences.items):
        raise UntrainableInput(
            f"{teachers.height} trainable users have no event with a known item; land events or check the items table"
        )
    recipe = _Recipe(catalogue, words, text, config, seed, _device(device), start)
    with torch.random.fork_rng(), deterministic():
        model, curve = _fitted(recipe, sequences, on_epoch)
    return TrainedTwoTower(model.eval(), words, text, curve)


@contextmanager
def deterministic() -> Iterator[None]:
    """Sums in one order: with several threads, gradients of embeddings are else added as threads happen to end."""
    before = torch.get_deterministic_debug_mode()
    # `use_deterministic_algorithms` does the same, after seconds in which it loads torch's compiler
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


@dataclass(frozen=True)
class _Recipe:
    """What every fit of one `train` shares."""

    catalogue: Catalogue
    words: Vocabularies
    text: TextEmbedder
    config: TwoTowerConfig
    seed: int
    device: torch.device
    start: TrainedTwoTower | None

    def model(self) -> TwoTower:
        """The untrained model, or the earlier one with room for the new words; the same at each call."""
        torch.manual_seed(self.seed)
        model = TwoTower(self.config, self.words, self.text.size, knows_ages=self.catalogue.knows_ages)
        if self.start is not None:
            _continue_from(model, self.start.model)
        return model.to(self.device)


def _fitted(recipe: _Recipe, sequences: Sequences, on_epoch: OnEpoch) -> tuple[TwoTower, tuple[EpochResult, ...]]:
    config, model = recipe.config, recipe.model()
    everything = Lessons.of(recipe.catalogue, sequences, recipe.device)
    validation = Validation.after(sequences, recipe.catalogue, _validation_cut(sequences, config))
    if not config.validation_days or not len(validation.user_M):
        return model, fit(model, everything, None, epochs=config.epochs, seed=recipe.seed, on_epoch=on_epoch)
    past = Lessons.of(recipe.catalogue, validation.past, recipe.device)
    curve = fit(model, past, validation, epochs=config.epochs, seed=recipe.seed, on_epoch=on_epoch)
    curve += fit(model, everything, None, epochs=config.refit_epochs, seed=recipe.seed + 1, on_epoch=on_epoch)
    return model, curve


def _validation_cut(sequences: Sequences, config: TwoTowerConfig) -> float:
    latest = float(sequences.hours.max()) - config.validation_days * 24
    return max(latest, float(np.quantile(sequences.hours, 1 - config.validation_share)))


def _continue_from(model: TwoTower, earlier: TwoTower) -> None:
    """Copy every weight; an embedding that has grown keeps its new rows as they were drawn."""
    old, new = earlier.state_dict(), model.state_dict()
    for name, weight in new.items():
        if name not in old or old[name].shape[1:] != weight.shape[1:] or len(old[name]) > len(weight):
            raise UntrainableInput(
                f"start: {name} does not fit {tuple(weight.shape)}; continue with the config and columns of the start"
            )
        weight[: len(old[name])] = old[name]


def _extended(words: Vocabularies, items: pl.DataFrame, regions: pl.Series) -> Vocabularies:
    """With the table's new words behind the known ones."""
    categories = items[c.CATEGORIES].explode() if c.CATEGORIES in items.columns else pl.Series([], dtype=pl.String)
    return Vocabularies(
        words.items.extended(items[c.ITEM_ID]),
        words.creators.extended(column_of(items, c.CREATOR_ID)),
        words.categories.extended(categories),
        words.languages.extended(column_of(items, c.LANGUAGE)),
        words.regions.extended(regions),
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
