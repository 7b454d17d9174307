"""The memory two-tower in closed form, where the night has its trained one: chosen once, fitted anew at each cut."""

# U users, I items, K columns of the vectors

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from contracts import columns as c
from models.two_tower.memory import Histories, MemoryConfig, MemoryTwoTower, fit, fit_memory, histories_of
from models.two_tower.text import TextEmbedder
from pipeline.arrays import rows_of
from ranking.tables import Floats, Ids


@dataclass(frozen=True)
class LinearRetrieval:
    """A fitted memory two-tower with the face of the night's."""

    tower: MemoryTwoTower
    item_ids: Ids
    text: TextEmbedder

    def embed_items(self, items: pl.DataFrame, as_of: datetime) -> Floats:
        """[I, K]; an item's age is not looked at."""
        del as_of
        vectors_IK: Floats = self.tower.embed_items()[rows_of(items[c.ITEM_ID], self.item_ids).to_numpy()]
        return vectors_IK

    def embed_text(self, items: pl.DataFrame) -> Floats:
        """[I, T] of the titles."""
        return self.text.embed(items)

    def embed_users(
        self, examples: pl.DataFrame, items: pl.DataFrame, as_of: datetime, users: pl.DataFrame | None = None
    ) -> Floats:
        """[U, K] of `schemas.RETRIEVAL_EXAMPLES`, whose items alone are looked at."""
        del items, as_of, users
        return self.tower.embed_users(histories_in(examples, self.item_ids))


def histories_in(examples: pl.DataFrame, item_ids: Ids) -> Histories:
    """The items of each row of `schemas.RETRIEVAL_EXAMPLES`, oldest first."""
    touches = examples.with_row_index("row").select("row", "item_ids").explode("item_ids").drop_nulls()
    item_rows = rows_of(touches["item_ids"], item_ids)
    users = touches["row"].cast(pl.Int64).to_numpy()
    return histories_of(users, item_rows.cast(pl.Int64).to_numpy(), users=examples.height, items=len(item_ids))


def retrieval(
    examples: pl.DataFrame, item_ids: Ids, text: TextEmbedder, config: MemoryConfig, seed: int
) -> LinearRetrieval:
    """Fit a config to the histories of one cut."""
    return LinearRetrieval(fit(histories_in(examples, item_ids), config, seed=seed), item_ids, text)


def contenders(examples: pl.DataFrame, item_ids: Ids, *, k: int, seed: int) -> Sequence[MemoryConfig]:
    """The best config of people as bags, and the best where the order may count too, by the fit's own search."""
    histories = histories_in(examples, item_ids)
    closed = ("space", "ridge")
    found = [
        fit_memory(histories, k=k, seed=seed, ordered=ordered, readouts=closed).config for ordered in (False, True)
    ]
    return list(dict.fromkeys(found))
