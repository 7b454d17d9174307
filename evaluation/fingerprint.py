"""What was asked of a method, as digests: only answers to one question can be compared person by person."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import polars as pl

DIGEST, SHOWN = 64, 12
"""Characters of a digest, and how many of them people see."""


@dataclass(frozen=True)
class EvaluationFingerprint:
    """The data that was learned from, the rows that were asked for, of whom, and how deep. Texts are sha256 digests,
    but for `dataset`, which is a name."""

    dataset: str
    train: str
    test: str
    users: str
    k: int

    @property
    def fingerprint(self) -> str:
        """One digest of it all."""
        return digest(self.told.values())

    @property
    def told(self) -> dict[str, str]:
        """Each part by its name, as text."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, told: dict[str, str]) -> Self:
        """Of what `told` said. Raises `KeyError` where a part is missing."""
        return cls(told["dataset"], told["train"], told["test"], told["users"], int(told["k"]))

    def unlike(self, other: "EvaluationFingerprint") -> str:
        """What differs, in words; empty where the questions are the same."""
        theirs = other.told
        pairs = {name: (value, theirs[name]) for name, value in self.told.items() if value != theirs[name]}
        return ", ".join(f"{name} ({_short(one)} and {_short(other)})" for name, (one, other) in pairs.items())


def _short(value: str) -> str:
    return value[:SHOWN] if len(value) == DIGEST else value


def digest(values: Iterable[Any]) -> str:
    """The sha256 of values in their order."""
    return hashlib.sha256(json.dumps([str(value) for value in values]).encode()).hexdigest()


def digest_rows(frame: pl.DataFrame) -> str:
    """The sha256 of a table's columns and rows in their order."""
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()
