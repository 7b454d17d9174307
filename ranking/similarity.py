"""How near an item is to what a user liked, in some embedding.

Shapes: P pairs, B users, H history items, T vector size, N most pairs of one user, K longest history.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs
from ranking.feature_arrays import Floats, Rows
from ranking.history import History

CHUNK_CELLS = 4_000_000
"""Similarities held at once, so that a night of many users needs little memory."""


@dataclass(frozen=True)
class Nearest:
    """For each pair the liked item that is nearest; -1 and 0 where the user liked nothing."""

    items: Rows  # [P]
    similarities: Floats  # [P] cosine


def unit(vectors: Floats) -> Floats:
    """Rows of length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors, np.float32), where=lengths > 0)
    return units


def profile_cosines(vectors: Floats, history: History, owners: Longs, item_rows: Rows) -> Floats:
    """[P] cosine of each item and the strength-weighted mean of what its user liked. `vectors` are of unit length."""
    profiles = np.zeros((history.users, vectors.shape[1]), np.float32)
    np.add.at(profiles, history.owners, vectors[history.items] * history.weights[:, None].astype(np.float32))
    cosines: Floats = np.einsum("pt,pt->p", unit(profiles)[owners], vectors[item_rows])
    return cosines


def nearest_liked(vectors: Floats, history: History, owners: Longs, item_rows: Rows) -> Nearest:
    """The nearest of `history` for each pair. `vectors` are of unit length; `owners` need no order."""
    items, similarities = np.full(len(owners), -1, np.int32), np.zeros(len(owners), np.float32)
    pairs_BN, history_BK = _padded(owners, history.users), _padded(history.owners, history.users)
    for some in _chunks(pairs_BN, history_BK):
        pairs, interactions = pairs_BN[some], history_BK[some]
        liked = history.items[interactions]
        near = vectors[item_rows[pairs]] @ vectors[liked].transpose(0, 2, 1)
        near = np.where(interactions[:, None, :] < 0, -np.inf, near)
        best = near.argmax(axis=2)
        real = (pairs >= 0) & np.any(interactions >= 0, axis=1, keepdims=True)
        items[pairs[real]] = np.take_along_axis(liked, best, axis=1)[real]
        similarities[pairs[real]] = near.max(axis=2)[real]
    return Nearest(items, similarities)


def _padded(owners: Longs, count: int) -> NDArray[np.int64]:
    """Positions of each owner's elements as a table [count, most], -1 where a row is shorter."""
    order = np.argsort(owners, kind="stable")
    column = np.arange(len(order)) - np.searchsorted(owners[order], owners[order])
    table = np.full((count, int(column.max(initial=-1)) + 1), -1, np.int64)
    table[owners[order], column] = order
    return table


def _chunks(pairs_BN: NDArray[np.int64], history_BK: NDArray[np.int64]) -> Iterator[slice]:
    if not pairs_BN.size or not history_BK.size:
        return
    step = max(1, CHUNK_CELLS // (pairs_BN.shape[1] * history_BK.shape[1]))
    for start in range(0, len(pairs_BN), step):
        yield slice(start, start + step)
