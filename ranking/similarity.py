"""How near an item is to what a user liked, in some embedding.

Shapes: P pairs, B users, H history items, T vector size, N most pairs of one user, K longest history.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs, offsets_of, table_of
from ranking.feature_arrays import Floats, Rows
from ranking.history import History

CHUNK_CELLS = 500_000
"""Similarities held at once: a chunk stays in the processor's cache."""


@dataclass(frozen=True)
class Nearest:
    """For each pair the liked item that is nearest; -1 and 0 where the user liked nothing."""

    items: Rows  # [P]
    similarities: Floats  # [P] cosine


@dataclass(frozen=True)
class Likeness:
    """[P] cosines of each pair's item; 0 where the user liked nothing."""

    profile: Floats  # with the strength-weighted mean of what the user liked
    nearest: Floats  # with the nearest of the recently liked items
    nearest_latest: Floats  # with the nearest of the very last ones


def unit(vectors: Floats) -> Floats:
    """Rows of length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors, np.float32), where=lengths > 0)
    return units


def profiles(vectors: Floats, history: History) -> Floats:
    """[B, T] the direction of the strength-weighted mean of what each user liked. `vectors` are of unit length."""
    from ranking.feature_kernel import add_vectors  # noqa: PLC0415  Numba takes a moment to import

    offsets = offsets_of(np.bincount(history.owners, minlength=history.users))
    sums = np.zeros((history.users, vectors.shape[1]), np.float32)
    add_vectors(offsets, history.items, history.weights.astype(np.float32), vectors, sums)
    return unit(sums)


def likeness(
    vectors: Floats, history: History, pairs_BN: Longs, item_rows: Rows, *, recent: int, latest: int
) -> Likeness:
    """Each pair's item beside the last `recent` and `latest` liked items. `vectors` are of unit length; `pairs_BN` is
    the `table_of` the pairs' owners."""
    liked = history.recent(recent)
    newest_first, newest_BK = liked.items[::-1], table_of(liked.owners[::-1], liked.users)
    profile_B1T = profiles(vectors, history)[:, None]
    cosines = np.zeros((3, len(item_rows)), np.float32)
    for some in _chunks(pairs_BN, newest_BK):
        pairs, newest = pairs_BN[some], newest_BK[some]
        item_bTN = vectors[item_rows[pairs]].transpose(0, 2, 1)
        near_bKN = vectors[newest_first[newest]] @ item_bTN
        near_bKN[newest < 0] = -np.inf
        real = (pairs >= 0) & (newest[:, :1] >= 0)
        of_chunk = (profile_B1T[some] @ item_bTN)[:, 0], near_bKN.max(axis=1), near_bKN[:, :latest].max(axis=1)
        for place, values in enumerate(of_chunk):
            cosines[place, pairs[real]] = values[real]
    return Likeness(*cosines)


def nearest_liked(vectors: Floats, history: History, owners: Longs, item_rows: Rows) -> Nearest:
    """The nearest of `history` for each pair. `vectors` are of unit length; `owners` need no order."""
    items, similarities = np.full(len(owners), -1, np.int32), np.zeros(len(owners), np.float32)
    pairs_BN, history_BK = table_of(owners, history.users), table_of(history.owners, history.users)
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


def _chunks(pairs_BN: NDArray[np.int64], history_BK: NDArray[np.int64]) -> Iterator[slice]:
    if not pairs_BN.size or not history_BK.size:
        return
    step = max(1, CHUNK_CELLS // (pairs_BN.shape[1] * history_BK.shape[1]))
    for start in range(0, len(pairs_BN), step):
        yield slice(start, start + step)
