"""The compiled loops of pair features: ranks, sums by key, and weighted sums of vectors.

A feed has a few hundred pairs of one user, where each call of NumPy takes longer than its work.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.tree_kernel import compiled

Array = NDArray[Any]


@compiled
def write_ranks(table: Array, values: Array, ranks: Array) -> None:
    """Write to `ranks` [P] the number of larger `values` [P] in the same row of `table` [B, N], a `csr.table_of`. NaN
    comes last, and equals negative infinity."""
    keys = np.empty(table.shape[1], np.float64)
    for row in range(len(table)):
        count = 0
        while count < table.shape[1] and table[row, count] >= 0:
            value = values[table[row, count]]
            keys[count] = np.inf if np.isnan(value) else -value
            count += 1
        order, rank = np.argsort(keys[:count]), 0
        for place in range(count):
            if keys[order[place]] != keys[order[place - 1]]:
                rank = place
            ranks[table[row, order[place]]] = rank


@compiled
def add_sums(have: Array, weights: Array, want: Array, sums: Array) -> None:
    """Add to `sums` [W, P] those of `weights` [W, H] over the keys `have` [H] that equal each key of `want` [P]."""
    order = np.argsort(have, kind="mergesort")  # equal keys stay in their order: a sum of floats depends on it
    keys = have[order]
    for pair in range(len(want)):
        place = np.searchsorted(keys, want[pair])
        while place < len(keys) and keys[place] == want[pair]:
            for column in range(len(weights)):
                sums[column, pair] += weights[column, order[place]]
            place += 1


@compiled
def add_vectors(offsets: Array, rows: Array, weights: Array, vectors: Array, sums: Array) -> None:
    """Add to each row of `sums` [B, T] the weighed `vectors` [I, T] of the rows `offsets[b]:offsets[b + 1]`."""
    for owner in range(len(sums)):
        for place in range(offsets[owner], offsets[owner + 1]):
            for axis in range(sums.shape[1]):
                sums[owner, axis] += weights[place] * vectors[rows[place], axis]
