"""The compiled loops of `tree_shap`."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ranking.tree_kernel import COLUMN, compiled

BLOCK = 64
"""Pairs that run through a tree together."""
Array = NDArray[Any]


@njit(nogil=True)
def _add_leaf(
    value: float,
    sides: int,
    first: int,
    last: int,
    places: Array,
    steps: Array,
    factors: Array,
    ratios: Array,
    weights: Array,
    products: Array,
    out: Array,
) -> None:
    """Add what a leaf adds to each feature of its path, `first:last`, where a pair takes these `sides`."""
    products[:] = value * weights
    for step in range(first, last):
        follows = 1 if sides & steps[0, step] == steps[1, step] else 0
        products *= factors[follows, step]
    for step in range(first, last):
        follows = 1 if sides & steps[0, step] == steps[1, step] else 0
        out[places[step]] += (products * ratios[follows, step]).sum()


@compiled
def fill_tables(
    trees: Array,
    leaves: Array,
    path_offsets: Array,
    places: Array,
    steps: Array,
    factors: Array,
    ratios: Array,
    weights: Array,
    column_offsets: Array,
    table_offsets: Array,
    tables: Array,
) -> None:
    """Write what each column of each tree adds, for all sides that a pair can take at its nodes.

    `path_offsets` [L + 1] lead to the features of a leaf's path: `places` [E], `steps` [2, E], `factors` and `ratios`
    [2, E, K]. The steps are the bits of its nodes, and of those where the path goes right. The first index of factors
    and ratios is 1 for a pair that takes the path's sides. A factor is one of the leaf's product; a ratio is what the
    product without it adds.
    """
    products = np.empty(len(weights))
    for tree in range(len(trees) - 1):
        splits, width = trees[tree + 1] - trees[tree], column_offsets[tree + 1] - column_offsets[tree]
        for sides in range(1 << splits if width else 0):
            start = table_offsets[tree] + sides * width
            out = tables[start : start + width]
            for leaf in range(trees[tree] + tree, trees[tree + 1] + tree + 1):
                first, last = path_offsets[leaf], path_offsets[leaf + 1]
                _add_leaf(leaves[leaf], sides, first, last, places, steps, factors, ratios, weights, products, out)


@njit(nogil=True)
def _load(features: Array, first: int, count: int, columns: Array, nan_values: Array, block: Array) -> None:
    for column in range(len(columns)):
        own, nan, out = features[columns[column]], nan_values[column], block[column]
        for place in range(count):
            value = own[first + place]
            out[place] = nan if np.isnan(value) else value


@njit(nogil=True)
def _read_sides(block: Array, nodes: Array, thresholds: Array, start: int, splits: int, sides: Array) -> None:
    """For each pair, a bit for each node of a tree: 1 to the right."""
    sides[:] = 0
    for node in range(splits):
        column, threshold, bit = block[nodes[COLUMN, start + node]], thresholds[start + node], np.int32(1 << node)
        for place in range(BLOCK):
            sides[place] |= bit if column[place] > threshold else np.int32(0)


@compiled
def add_contributions(
    features: Array,
    columns: Array,
    nan_values: Array,
    trees: Array,
    nodes: Array,
    thresholds: Array,
    tree_columns: Array,
    column_offsets: Array,
    table_offsets: Array,
    tables: Array,
    added: Array,
) -> None:
    """Add to `added` [C, P] what each column adds to the sum of all trees. `features` is [F, P].

    All pairs of a block are added to one column after the other, also places without a pair, which are never read.
    """
    block, sides = np.zeros((len(columns), BLOCK), np.float32), np.empty(BLOCK, np.int32)
    rows = np.empty(BLOCK, np.int64)
    for first in range(0, added.shape[1], BLOCK):
        count, sums = min(BLOCK, added.shape[1] - first), np.zeros((len(added), BLOCK))
        _load(features, first, count, columns, nan_values, block)
        for tree in range(len(trees) - 1):
            _read_sides(block, nodes, thresholds, trees[tree], trees[tree + 1] - trees[tree], sides)
            start, width = column_offsets[tree], column_offsets[tree + 1] - column_offsets[tree]
            for place in range(BLOCK):
                rows[place] = table_offsets[tree] + sides[place] * width
            for column in range(width):
                own = sums[tree_columns[start + column]]
                for place in range(BLOCK):
                    own[place] += tables[rows[place] + column]
        added[:, first : first + count] += sums[:, :count]
