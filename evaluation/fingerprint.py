"""The evaluation data of a method as digests: two methods can be compared by user if their fingerprints are equal."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import polars as pl

DIGEST, SHOWN = 64, 12
"""Characters of a digest, and how many of them a message shows."""


@dataclass(frozen=True)
class EvaluationFingerprint:
    """Training rows, test rows, users and depth. Texts are sha256 digests, but for `dataset`, which is a name."""

    dataset: str
    train: str
    test: str
    users: str
    k: int

    @property
    def digest(self) -> str:
        """One digest of all parts."""
        return digest(self.parts.values())

    @property
    def parts(self) -> dict[str, str]:
        """Each part by its name, as text."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, parts: dict[str, str]) -> Self:
        """From the `parts` of another. Raises `KeyError` where a part is missing."""
        return cls(parts["dataset"], parts["train"], parts["test"], parts["users"], int(parts["k"]))

    def difference_to(self, other: "EvaluationFingerprint") -> str:
        """The parts that differ, as text; empty where the fingerprints are equal."""
        others = other.parts
        pairs = {name: (value, others[name]) for name, value in self.parts.items() if value != others[name]}
        return ", ".join(f"{name} ({_short(one)} and {_short(two)})" for name, (one, two) in pairs.items())


def _short(value: str) -> str:
    return value[:SHOWN] if len(value) == DIGEST else value


def digest(values: Iterable[Any]) -> str:
    """The sha256 of values in their order."""
    return hashlib.sha256(json.dumps([str(value) for value in values]).encode()).hexdigest()


def digest_rows(frame: pl.DataFrame) -> str:
    """The sha256 of a table's columns and rows in their order."""
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()
