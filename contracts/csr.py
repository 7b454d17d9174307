"""Rows of different lengths side by side (compressed sparse rows): sortable keys, tables and medians by row.

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
        if len(rows) == 1:  # a feed: what follows takes ten times as long
            own = np.arange(self.offsets[rows[0]], self.offsets[rows[0] + 1])
            return np.zeros(len(own), np.int64), own
        starts = self.offsets[rows].astype(np.int64)
        lengths = self.offsets[np.asarray(rows) + 1] - starts
        before = np.cumsum(lengths) - lengths
        owners = np.repeat(np.arange(len(rows)), lengths)
        return owners, np.arange(len(owners)) - before[owners] + starts[owners]

    def select(self, rows: Rows | Longs) -> tuple[Longs, Longs]:
        """The offsets of a smaller table that holds these rows, and the positions in V of its values."""
        counts = self.offsets[np.asarray(rows) + 1] - self.offsets[rows]
        return offsets_of(counts), self.where(rows)[1]


def offsets_of(counts: Longs | Rows) -> Longs:
    """[N + 1] offsets of rows of these lengths."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def distinct(rows: Rows) -> tuple[Rows, Longs]:
    """The distinct values in ascending order, and for each element the position of its value; fast where equal values
    are side by side."""
    if len(rows) and (rows == rows[0]).all():
        return rows[:1], np.zeros(len(rows), np.int64)
    starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 1))
    values, positions = np.unique(rows[starts], return_inverse=True)
    positions = np.repeat(positions, np.diff(np.append(starts, len(rows))))
    return values.astype(rows.dtype), positions


def pair_keys(owners: Longs | Rows, codes: Longs | Rows) -> Longs:
    """One int64 for each (owner, code) pair, ordered by owner, then code. Codes are not negative."""
    keys: Longs = owners.astype(np.int64) * KEY_SHIFT + codes
    return keys


Doubles = NDArray[np.float64]


def table_of(owners: Longs | Rows, count: int) -> Longs:
    """[count, most] the positions of each owner's values in order, -1 after the last of them."""
    if count == 1:
        return np.arange(len(owners))[None]
    order = np.argsort(owners, kind="stable")
    lengths = np.bincount(owners, minlength=count)
    table = np.full((count, int(lengths.max(initial=0))), -1, np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = order
    return table


def medians(owners: Longs, values: Doubles, count: int) -> Doubles:
    """The lower median of each owner's values, [count]; NaN for an owner without any."""
    order = np.lexsort((values, owners))
    starts = np.searchsorted(owners[order], np.arange(count + 1))
    middle = (starts[:-1] + starts[1:] - 1) // 2
    lower_medians = np.full(count, np.nan)
    filled = starts[1:] > starts[:-1]
    lower_medians[filled] = values[order][middle[filled]]
    return lower_medians
