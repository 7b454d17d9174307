"""The items table as tensors, encoded once.

Shapes: I items, C categories of an item at most, T size of a text vector.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts import columns as c
from models.two_tower.text import TextEmbedder
from models.two_tower.vocabulary import Vocabularies, Vocabulary

NEVER = float("nan")
"""`created_hours` of an item of unknown age."""


def hours_since_1970(instants: pl.Series) -> NDArray[np.float64]:
    """Instants as hours, NaN where null. One way to count for all: "strictly before" must not hang on a rounding."""
    microseconds = instants.dt.epoch("us")
    hours = microseconds.fill_null(0).to_numpy() / 3_600_000_000
    return np.where(microseconds.is_null().to_numpy(), NEVER, hours)


def hours_of(instant: datetime) -> float:
    """The same of one aware instant."""
    return float(hours_since_1970(pl.Series([instant]))[0])


@dataclass(frozen=True)
class ItemCatalogue:
    """One row an item; codes are those of `Vocabularies`, 0 is unknown."""

    ids: pl.Series  # [I]
    id_I: Tensor
    creator_I: Tensor
    language_I: Tensor
    categories_IC: Tensor
    text_IT: Tensor
    created_hours_I: Tensor  # float64, NaN where unknown

    def __len__(self) -> int:
        """I."""
        return len(self.ids)

    @property
    def has_ages(self) -> bool:
        """Whether any item has `created_at`."""
        return bool((~self.created_hours_I.isnan()).any())

    def rows(self, ids: pl.Series) -> NDArray[np.int64]:
        """`[N]` rows of the items with these ids; -1 where the catalogue lacks one."""
        return Vocabulary(tuple(self.ids)).codes(ids) - 1

    def to(self, device: torch.device) -> "ItemCatalogue":
        """The same on another device."""
        return ItemCatalogue(self.ids, *(getattr(self, name).to(device) for name in list(vars(self))[1:]))


def encode_catalogue(items: pl.DataFrame, words: Vocabularies, text: TextEmbedder) -> ItemCatalogue:
    """Every item of the table, in its order; columns that it lacks are unknown."""
    return ItemCatalogue(
        items[c.ITEM_ID].cast(pl.String),
        torch.from_numpy(words.items.codes(items[c.ITEM_ID])),
        _codes(items, c.CREATOR_ID, words.creators),
        _codes(items, c.LANGUAGE, words.languages),
        _category_codes(items, words.categories),
        torch.from_numpy(text.embed(items)),
        _created_hours(items),
    )


def _codes(items: pl.DataFrame, column: str, vocabulary: Vocabulary) -> Tensor:
    return torch.from_numpy(vocabulary.codes(column_of(items, column)))


def column_of(frame: pl.DataFrame, name: str, dtype: type[pl.DataType] = pl.String) -> pl.Series:
    """The column, or nulls where the table has none."""
    return frame[name] if name in frame.columns else pl.Series(name, [None] * frame.height, dtype=dtype)


def _category_codes(items: pl.DataFrame, vocabulary: Vocabulary) -> Tensor:
    if c.CATEGORIES not in items.columns or not items.height:
        return torch.zeros(items.height, 1, dtype=torch.int64)
    pairs = items.with_row_index("row").select("row", c.CATEGORIES).explode(c.CATEGORIES).drop_nulls()
    pairs = pairs.with_columns(at=pl.int_range(pl.len()).over("row"))
    width = max(1, pairs.height and int(pairs["at"].max()) + 1)  # type: ignore[arg-type]  # polars types any max as optional
    codes = np.zeros((items.height, width), np.int64)
    codes[pairs["row"].to_numpy(), pairs["at"].to_numpy()] = vocabulary.codes(pairs[c.CATEGORIES])
    return torch.from_numpy(codes)


def _created_hours(items: pl.DataFrame) -> Tensor:
    if c.CREATED_AT not in items.columns or items[c.CREATED_AT].dtype == pl.Null:
        return torch.full((items.height,), NEVER, dtype=torch.float64)
    return torch.from_numpy(hours_since_1970(items[c.CREATED_AT]))
