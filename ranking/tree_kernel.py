"""The compiled loops of `tree_ensemble`: a block of pairs runs through a tree together, without a branch for each pair.

A node that sends a whole block to one side costs nothing. Pairs of the same item have the item's features in common, so
blocks of such pairs skip most nodes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 512
"""Pairs that run through a tree together."""
COLUMN, LEFT, RIGHT = 0, 1, 2
"""Rows of a table of nodes. A pair goes right if its value is above the threshold. A child below 0 is the leaf
`-1 - child` of its tree."""
Array = NDArray[Any]


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """The function as machine code, which is kept on disk where a folder can be written (`NUMBA_CACHE_DIR`)."""
    try:
        code: Callable[..., None] = njit(nogil=True, cache=True)(function)
    except RuntimeError:
        code = njit(nogil=True)(function)
    return code


@njit(nogil=True)
def _load(features: Array, pairs: Array, columns: Array, nan_values: Array, block: Array) -> None:
    """Read the block's columns; `pairs` has `BLOCK` places."""
    for column in range(len(columns)):
        own, nan, out = features[columns[column]], nan_values[column], block[column]
        for place in range(BLOCK):
            value = own[pairs[place]]
            out[place] = nan if np.isnan(value) else value


@njit(nogil=True, fastmath={"nnan", "nsz"})
def _range(values: Array) -> tuple[Any, Any]:
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for place in range(BLOCK):
        value = values[place]
        low = value if value < low else low
        high = value if value > high else high
    return low, high


@njit(nogil=True, inline="always")
def _mark(
    nodes: Array, thresholds: Array, start: int, size: int, low: Array, high: Array, reached: Array, stands: Array
) -> int:
    """Mark the nodes that some pair reaches. For each node, find what gives its value: itself, or where it does not
    split the block, a node or leaf below it. Returns that of the root."""
    for place in range(size):
        reached[place] = place == 0
    for place in range(size):
        if reached[place]:
            column, threshold = nodes[COLUMN, start + place], thresholds[start + place]
            left, right = nodes[LEFT, start + place], nodes[RIGHT, start + place]
            if left >= 0 and low[column] <= threshold:
                reached[left] = True
            if right >= 0 and high[column] > threshold:
                reached[right] = True
    for place in range(size - 1, -1, -1):
        column, threshold = nodes[COLUMN, start + place], thresholds[start + place]
        left, right = nodes[LEFT, start + place], nodes[RIGHT, start + place]
        if high[column] <= threshold:
            stands[place] = stands[left] if left >= 0 else left
        elif low[column] > threshold:
            stands[place] = stands[right] if right >= 0 else right
        else:
            stands[place] = place
    return stands[0] if size else -1


@njit(nogil=True)
def _of_leaves(column: Array, threshold: float, left: float, right: float, out: Array) -> None:
    for place in range(BLOCK):
        out[place] = right if column[place] > threshold else left


@njit(nogil=True)
def _of_leaf_and_node(column: Array, threshold: float, left: float, right: Array, out: Array) -> None:
    for place in range(BLOCK):
        out[place] = right[place] if column[place] > threshold else left


@njit(nogil=True)
def _of_node_and_leaf(column: Array, threshold: float, left: Array, right: float, out: Array) -> None:
    for place in range(BLOCK):
        out[place] = right if column[place] > threshold else left[place]


@njit(nogil=True)
def _of_nodes(column: Array, threshold: float, left: Array, right: Array, out: Array) -> None:
    for place in range(BLOCK):
        out[place] = right[place] if column[place] > threshold else left[place]


@njit(nogil=True, inline="always")
def _split(
    place: int,
    node: int,
    nodes: Array,
    thresholds: Array,
    block: Array,
    stands: Array,
    leaves: Array,
    leaf: int,
    values: Array,
) -> None:
    """The values of one node from those of its children: a row of `values`, or a leaf. `leaf` is the tree's first."""
    left, right = nodes[LEFT, node], nodes[RIGHT, node]
    left, right = stands[left] if left >= 0 else left, stands[right] if right >= 0 else right
    column, threshold, out = block[nodes[COLUMN, node]], thresholds[node], values[place]
    if left < 0 and right < 0:
        _of_leaves(column, threshold, leaves[leaf - 1 - left], leaves[leaf - 1 - right], out)
    elif left < 0:
        _of_leaf_and_node(column, threshold, leaves[leaf - 1 - left], values[right], out)
    elif right < 0:
        _of_node_and_leaf(column, threshold, values[left], leaves[leaf - 1 - right], out)
    else:
        _of_nodes(column, threshold, values[left], values[right], out)


@njit(nogil=True)
def _add(values: Array, sums: Array) -> None:
    for place in range(BLOCK):
        sums[place] += values[place]


@compiled
def add_scores(
    features: Array,
    order: Array,
    columns: Array,
    nan_values: Array,
    models: Array,
    trees: Array,
    nodes: Array,
    thresholds: Array,
    leaves: Array,
    scores: Array,
) -> None:
    """Write the sum of each model's trees to `scores` [M, P], in the order in which LightGBM adds them.

    `features` is [F, P]. `order` [P] groups the pairs into blocks. `models` [M + 1] are offsets into `trees` [T + 1],
    which are offsets into `nodes`. A tree has one leaf more than it has nodes.
    """
    block, pairs = np.empty((len(columns), BLOCK), np.float32), np.empty(BLOCK, np.uint32)
    low, high = np.empty(len(columns), np.float32), np.empty(len(columns), np.float32)
    largest = np.diff(trees).max() + 1
    values, sums = np.empty((largest, BLOCK), np.float64), np.empty(BLOCK, np.float64)
    reached, stands = np.empty(largest, np.bool_), np.empty(largest, np.int64)
    for first in range(0, len(order), BLOCK):
        count = min(BLOCK, len(order) - first)
        pairs[:] = order[first + count - 1]  # the last pair fills the places after it
        pairs[:count] = order[first : first + count]
        _load(features, pairs, columns, nan_values, block)
        for column in range(len(columns)):
            low[column], high[column] = _range(block[column])
        for model in range(len(scores)):
            sums[:] = 0
            for tree in range(models[model], models[model + 1]):
                start, leaf = trees[tree], trees[tree] + tree
                size = trees[tree + 1] - start
                root = _mark(nodes, thresholds, start, size, low, high, reached, stands)
                for place in range(size - 1, -1, -1):
                    if reached[place] and stands[place] == place:
                        _split(place, start + place, nodes, thresholds, block, stands, leaves, leaf, values)
                if root < 0:
                    value = leaves[leaf - 1 - root]
                    for place in range(BLOCK):
                        sums[place] += value
                else:
                    _add(values[root], sums)
            for place in range(count):
                scores[model, pairs[place]] = sums[place]
