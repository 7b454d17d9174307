"""Candidates: the neighbours of a user's vector, fresh items and popular items, without items of the user's history.

Shapes: B users, N neighbours of each, I items, P pairs.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import KEY_SHIFT, Longs, pair_keys
from contracts.schemas import WINDOWS_DAYS
from ranking.feature_arrays import SOURCES, Candidates, Floats, Items, Rows, Users
from ranking.feature_names import ITEM_FEATURE_NAMES

BITS = {source: np.uint8(1 << place) for place, source in enumerate(SOURCES)}
Bits = NDArray[np.uint8]
CHUNK_CELLS = 16_000_000
"""Vector cells held at once while pairs are scored: millions of pairs of long vectors are many gigabytes."""


class CandidateConfig(BaseModel):
    """How many candidates each source brings; a source may be switched off with 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: int = Field(300, ge=0, description="nearest items of the user's vector")
    fresh: int = Field(200, ge=0, description="newest items")
    popular: int = Field(100, ge=0, description="items with most users in each window of popularity")
    popular_days: tuple[int, ...] = Field((7, 28), description="the windows of popularity, days: some of 1, 7, 28")
    popular_ever: int = Field(100, ge=0, description="items with most users of all time")


def fresh_rows(items: Items, count: int) -> Rows:
    """The newest `count` items, newest first; items of unknown age are never fresh."""
    dated = np.flatnonzero(~np.isnan(items.created_hours))
    order = np.argsort(-items.created_hours[dated], kind="stable")
    return dated[order][:count].astype(np.int32)


def popular_rows(items: Items, count: int, days: int | None) -> Rows:
    """The `count` items that most users clicked or saved in a window, or ever where `days` is None, most first;
    items without a user are left out."""
    if days not in (*WINDOWS_DAYS, None):
        raise ValueError(f"no popularity over {days} days is kept; use one of {', '.join(map(str, WINDOWS_DAYS))}")
    users = np.nan_to_num(items.features[:, ITEM_FEATURE_NAMES.index(f"users_{days}d" if days else "users")])
    order = np.argsort(-users, kind="stable")[:count]
    return order[users[order] > 0].astype(np.int32)


def popular_of(items: Items, config: CandidateConfig) -> Rows:
    """The popular items of all windows and of all time, each once."""
    windows = [popular_rows(items, config.popular, days) for days in config.popular_days]
    ever = popular_rows(items, config.popular_ever, None)
    return np.unique(np.concatenate([*windows, ever])).astype(np.int32)


def union_candidates(
    users: Users,
    items: Items,
    user_rows: Rows,
    *,
    neighbours: Rows,
    fresh: Rows,
    popular: Rows,
    excluded: NDArray[np.bool_] | None = None,
) -> Candidates:
    """The pairs to be ranked, in the order of `user_rows`, those of a user by item row.

    `neighbours` [B, N] are item rows with -1 where an index found fewer. `fresh` and `popular` are the same for all
    users. The items of a user's history are left out, and so are those where `excluded`, [I] or [B, I], is true.
    """
    keys, bits = _merged(
        [
            (np.arange(len(user_rows)).repeat(neighbours.shape[1]), neighbours.ravel(), BITS["two_tower"]),
            (*_for_all(user_rows, fresh), BITS["fresh"]),
            (*_for_all(user_rows, popular), BITS["popular"]),
        ]
    )
    owners, item_rows = keys // KEY_SHIFT, (keys % KEY_SHIFT).astype(np.int32)
    stay = ~_in_history(users, user_rows, keys)
    if excluded is not None:
        stay &= ~np.broadcast_to(excluded, (len(user_rows), len(items.ids)))[owners, item_rows]
    pair_users, item_rows = user_rows[owners[stay]].astype(np.int32), item_rows[stay]
    return Candidates(pair_users, item_rows, bits[stay], retrieval_scores(users, items, pair_users, item_rows))


class RowsFound(Protocol):
    """The neighbours that an index returns."""

    @property
    def rows(self) -> Rows:
        """[B, N] item rows, best first; -1 where there are fewer."""
        ...


class NearestItems(Protocol):
    """An index over item vectors."""

    def search(self, queries: Floats, k: int) -> RowsFound:
        """The `k` nearest items of each query."""
        ...


def unseen_neighbours(index: NearestItems, users: Users, user_rows: Rows, count: int) -> Rows:
    """[B, N] the `count` nearest items of each user outside their history, best first; -1 where there are fewer."""
    owners, history = users.history.where(user_rows)
    most = int(np.bincount(owners, minlength=1).max())
    nearest = index.search(users.vectors[user_rows], count + most).rows
    owner_of = np.arange(len(user_rows)).repeat(nearest.shape[1])
    pairs = pair_keys(owner_of, nearest.ravel())
    seen = np.isin(pairs, pair_keys(owners, users.history_items[history])).reshape(nearest.shape)
    order = np.argsort(seen, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(np.where(seen, np.int32(-1), nearest), order, axis=1)


def retrieval_scores(users: Users, items: Items, user_rows: Rows, item_rows: Rows) -> Floats:
    """The dot of each pair's vectors, [P]."""
    scores = np.empty(len(user_rows), np.float32)
    step = max(1, CHUNK_CELLS // max(1, users.vectors.shape[1]))
    for start in range(0, len(scores), step):
        some = slice(start, start + step)
        user_PD, item_PD = users.vectors[user_rows[some]], items.vectors[item_rows[some]]
        scores[some] = np.einsum("pd,pd->p", user_PD, item_PD, dtype=np.float32)
    return scores


def taken(candidates: Candidates, which: NDArray[Any]) -> Candidates:
    """Some of the pairs: a mask or positions."""
    return Candidates(
        candidates.user_rows[which],
        candidates.item_rows[which],
        candidates.sources[which],
        candidates.retrieval_scores[which],
    )


def _for_all(user_rows: Rows, shared: Rows) -> tuple[Longs, Rows]:
    return np.arange(len(user_rows)).repeat(len(shared)), np.tile(shared, len(user_rows))


def _merged(sources: list[tuple[Longs, Rows, np.uint8]]) -> tuple[Longs, Bits]:
    """Each pair once, by key, with the bits of all sources that brought it."""
    owners = np.concatenate([owners for owners, _, _ in sources])
    rows = np.concatenate([rows for _, rows, _ in sources])
    bits = np.concatenate([np.full(len(rows), bit, np.uint8) for _, rows, bit in sources])
    real = rows >= 0
    keys, inverse = np.unique(pair_keys(owners[real], rows[real]), return_inverse=True)
    merged = np.zeros(len(keys), np.uint8)
    np.bitwise_or.at(merged, inverse, bits[real])
    return keys, merged


def _in_history(users: Users, user_rows: Rows, keys: Longs) -> NDArray[np.bool_]:
    owners, history = users.history.where(user_rows)
    return np.isin(keys, pair_keys(owners, users.history_items[history]))
