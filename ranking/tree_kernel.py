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
NODE = np.dtype([("column", np.int32), ("threshold", np.float32), ("left", np.int32), ("right", np.int32)])
"""A pair goes right if its value is above the threshold. A child below 0 is the leaf `-1 - child` of its tree."""
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


@njit(nogil=True)
def _mark(nodes: Array, low: Array, high: Array, reached: Array, stands: Array) -> int:
    """Mark the nodes that some pair reaches. For each node, find what gives its value: itself, or where it does not
    split the block, a node or leaf below it. Returns that of the root."""
    for place in range(len(nodes)):
        reached[place] = False
    reached[0] = True
    for place in range(len(nodes)):
        node = nodes[place]
        if reached[place] and node.left >= 0 and low[node.column] <= node.threshold:
            reached[node.left] = True
        if reached[place] and node.right >= 0 and high[node.column] > node.threshold:
            reached[node.right] = True
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if high[node.column] <= node.threshold:
            stands[place] = stands[node.left] if node.left >= 0 else node.left
        elif low[node.column] > node.threshold:
            stands[place] = stands[node.right] if node.right >= 0 else node.right
        else:
            stands[place] = place
    return stands[0] if len(nodes) else -1


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


@njit(nogil=True)
def _split(place: int, nodes: Array, block: Array, stands: Array, leaves: Array, values: Array) -> None:
    """The values of one node from those of its children: a row of `values`, or a leaf."""
    node = nodes[place]
    left = stands[node.left] if node.left >= 0 else node.left
    right = stands[node.right] if node.right >= 0 else node.right
    column, threshold, out = block[node.column], node.threshold, values[place]
    if left < 0 and right < 0:
        _of_leaves(column, threshold, leaves[-1 - left], leaves[-1 - right], out)
    elif left < 0:
        _of_leaf_and_node(column, threshold, leaves[-1 - left], values[right], out)
    elif right < 0:
        _of_node_and_leaf(column, threshold, values[left], leaves[-1 - right], out)
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
                own, own_leaves = nodes[trees[tree] : trees[tree + 1]], leaves[trees[tree] + tree :]
                root = _mark(own, low, high, reached, stands)
                for place in range(len(own) - 1, -1, -1):
                    if reached[place] and stands[place] == place:
                        _split(place, own, block, stands, own_leaves, values)
                if root < 0:
                    leaf = own_leaves[-1 - root]
                    for place in range(BLOCK):
                        sums[place] += leaf
                else:
                    _add(values[root], sums)
            for place in range(count):
                scores[model, pairs[place]] = sums[place]
