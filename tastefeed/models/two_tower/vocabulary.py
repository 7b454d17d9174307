"""Words and their codes: position + 1, so that 0 is the unknown word and, in an embedding, a row that stays zero."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """Distinct words in the order of their codes."""

    words: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Rows that an embedding needs: one a word, and the unknown one."""
        return len(self.words) + 1

    def codes(self, values: pl.Series) -> Codes:
        """`[N]` codes of `[N]` words; 0 for null and unknown ones."""
        if not self.words:
            return np.zeros(len(values), np.int64)
        table = pl.DataFrame({"word": self.words, "code": np.arange(1, len(self))}, schema_overrides={"code": pl.Int64})
        asked = pl.DataFrame({"word": values.cast(pl.String)})
        joined = asked.join(table, on="word", how="left", maintain_order="left")
        return joined["code"].fill_null(0).to_numpy(writable=True)

    def extended(self, values: pl.Series) -> "Vocabulary":
        """With the words it lacks behind its own, sorted: old codes stay what they are."""
        new = pl.Series(values.cast(pl.String).drop_nulls().unique())
        known = pl.Series(self.words, dtype=pl.String)
        return Vocabulary(self.words + tuple(new.filter(~new.is_in(known.implode())).sort()))


@dataclass(frozen=True)
class Vocabularies:
    """Every vocabulary of a two-tower. There is none of users."""

    items: Vocabulary = Vocabulary()
    creators: Vocabulary = Vocabulary()
    categories: Vocabulary = Vocabulary()
    languages: Vocabulary = Vocabulary()
    regions: Vocabulary = Vocabulary()

    def as_json(self) -> dict[str, list[str]]:
        """For the manifest's folder."""
        return {name: list(vocabulary.words) for name, vocabulary in vars(self).items()}

    @classmethod
    def from_json(cls, words: Mapping[str, list[str]]) -> "Vocabularies":
        """What `as_json` wrote."""
        return cls(**{name: Vocabulary(tuple(values)) for name, values in words.items()})
