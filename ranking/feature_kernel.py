"""The compiled loops of pair features: ranks, sums by key, and weighted sums of vectors.

A feed has a few hundred pairs of one user, where each call of NumPy takes longer than its work.
"""

from typing import Any

from numpy.typing import NDArray

from ranking.tree_kernel import compiled

Array = NDArray[Any]


@compiled
def write_ranks(table: Array, keys: Array, order: Array, ranks: Array) -> None:
    """Write to `ranks` [P] the number of smaller `keys` [B, N] in the same row of `table`, a `csr.table_of` [B, N].
    `order` [B, N] sorts the keys of each row, and has the places without a pair at the end."""
    for row in range(len(table)):
        rank = 0
        for place in range(table.shape[1]):
            column = order[row, place]
            if table[row, column] < 0:
                break
            if place and keys[row, column] != keys[row, order[row, place - 1]]:
                rank = place
            ranks[table[row, column]] = rank


@compiled
def add_sums(keys: Array, order: Array, weights: Array, want: Array, starts: Array, sums: Array) -> None:
    """Add to `sums` [W, P] those of `weights` [W, H] over the sorted `keys` [H] that equal each key of `want` [P].
    `order` [H] has the positions of the keys in `weights`, and `starts` [P] where the wanted keys begin."""
    for pair in range(len(want)):
        place = starts[pair]
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
