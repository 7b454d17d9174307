"""Words and their codes: position + 1, so that 0 is the unknown word and, in an embedding, a row that stays zero."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Codes = NDArray[np.int64]


FORGOTTEN = ""
"""The placeholder of a word that was forgotten: its code stays, and no word refers to it any more."""
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Vocabulary:
    """Distinct words in the order of their codes. With a `salt`, what is kept of each word is a digest."""

    words: tuple[str, ...] = ()
    salt: str = ""

    def __len__(self) -> int:
        """Rows that an embedding needs: one a word, and the unknown one."""
        return len(self.words) + 1

    def codes(self, values: pl.Series) -> Codes:
        """`[N]` codes of `[N]` words; 0 for null, forgotten and unknown ones."""
        if not self.words:
            return np.zeros(len(values), np.int64)
        table = pl.DataFrame({"word": self.words, "code": np.arange(1, len(self))}, schema_overrides={"code": pl.Int64})
        words = pl.DataFrame({"word": self._kept(values.cast(pl.String))})
        joined = words.join(table.filter(pl.col("word") != FORGOTTEN), on="word", how="left", maintain_order="left")
        return joined["code"].fill_null(0).to_numpy(writable=True)

    def extended(self, values: pl.Series) -> "Vocabulary":
        """With the words it lacks behind its own, sorted: old codes stay what they are."""
        words = pl.Series(values.cast(pl.String).drop_nulls().unique()).sort()
        new = self._kept(words)
        old = pl.Series(self.words, dtype=pl.String)
        return replace(self, words=self.words + tuple(new.filter(~new.is_in(old.implode()))))

    def hidden(self, salt: str) -> "Vocabulary":
        """The same codes, with a digest in the place of each word; one that is hidden already stays as it is."""
        return (
            self if self.salt or not self.words else Vocabulary(tuple(_digest(word, salt) for word in self.words), salt)
        )

    def without(self, words: Collection[str]) -> "Vocabulary":
        """The same codes, with these words forgotten."""
        gone = {_digest(word, self.salt) for word in words} if self.salt else set(words)
        return replace(self, words=tuple(FORGOTTEN if word in gone else word for word in self.words))

    def _kept(self, words: pl.Series) -> pl.Series:
        if not self.salt:
            return words
        distinct = words.drop_nulls().unique()
        digests = pl.Series([_digest(word, self.salt) for word in distinct], dtype=pl.String)
        return words.replace_strict(distinct, digests, default=None, return_dtype=pl.String)


@dataclass(frozen=True)
class Vocabularies:
    """Every vocabulary of a two-tower. There is none of users."""

    items: Vocabulary = Vocabulary()
    creators: Vocabulary = Vocabulary()
    categories: Vocabulary = Vocabulary()
    languages: Vocabulary = Vocabulary()
    regions: Vocabulary = Vocabulary()

    def hidden(self) -> "Vocabularies":
        """With digests in the place of creators, who are natural persons.

        The salt lies beside them. It keeps the files of two catalogues from being joined; a reader who has an
        id can still look it up, so code that forgets a creator calls `without` on every copy.
        """
        everything = json.dumps({name: vocabulary.words for name, vocabulary in vars(self).items()})
        salt = hashlib.sha256(everything.encode()).hexdigest()[: 2 * DIGEST_BYTES]
        return replace(self, creators=self.creators.hidden(salt))

    def as_json(self) -> dict[str, Any]:
        """For the manifest's folder: no creator is named in it."""
        hidden = self.hidden()
        lists = {name: list(vocabulary.words) for name, vocabulary in vars(hidden).items()}
        return lists | {"creators": {"salt": hidden.creators.salt, "digests": lists["creators"]}}

    @classmethod
    def from_json(cls, words: Mapping[str, Any]) -> "Vocabularies":
        """What `as_json` wrote, or an earlier version, which named creators."""
        creators = words["creators"]
        of_creators = (
            Vocabulary(tuple(creators["digests"]), creators["salt"])
            if isinstance(creators, Mapping)
            else Vocabulary(tuple(creators))
        )
        others = {name: Vocabulary(tuple(values)) for name, values in words.items() if name != "creators"}
        return cls(creators=of_creators, **others)


def _digest(word: str, salt: str) -> str:
    if word == FORGOTTEN:
        return FORGOTTEN
    return hashlib.blake2b(word.encode(), key=salt.encode(), digest_size=DIGEST_BYTES).hexdigest()
