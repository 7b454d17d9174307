"""Rows of different lengths side by side (compressed sparse rows), and sortable keys of pairs.

Shapes: N rows, V values of all rows together, R selected rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Rows = NDArray[np.int32]
KEY_SHIFT = np.int64(1) << np.int64(32)
"""Two codes below 2**31 make one sortable key."""


@dataclass(frozen=True)
class CsrRows:
    """Row n owns the values `offsets[n]:offsets[n + 1]` of arrays that lie beside the offsets."""

    offsets: Longs  # [N + 1]

    @property
    def counts(self) -> Longs:
        """[N] values of each row."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> Rows:
        """[V] the row of each value."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), self.counts)

    def where(self, rows: Rows | Longs) -> tuple[Longs, Longs]:
        """The values of some rows: for each value, the position of its row in `rows`, and its own position in V."""
        starts = self.offsets[rows].astype(np.int64)
        lengths = self.offsets[np.asarray(rows) + 1] - starts
        before = np.cumsum(lengths) - lengths
        owners = np.repeat(np.arange(len(rows)), lengths)
        return owners, np.arange(len(owners)) - before[owners] + starts[owners]

    def select(self, rows: Rows | Longs) -> tuple[Longs, Longs]:
        """The offsets of a smaller table that holds these rows, and the positions in V of its values."""
        counts = self.counts[rows]
        return offsets_of(counts), self.where(rows)[1]


def offsets_of(counts: Longs | Rows) -> Longs:
    """[N + 1] offsets of rows of these lengths."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def pair_keys(owners: Longs | Rows, codes: Longs | Rows) -> Longs:
    """One int64 for each (owner, code) pair, ordered by owner, then code. Codes are not negative."""
    keys: Longs = owners.astype(np.int64) * KEY_SHIFT + codes
    return keys
