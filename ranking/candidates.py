"""Candidates: the neighbours of a user's vector, fresh items and popular items, without items of the user's history.

Shapes: B users, N neighbours of each, I items, P pairs.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Longs, offsets_of
from contracts.schemas import WINDOWS_DAYS
from ranking.feature_arrays import SOURCES, Candidates, Floats, Items, Rows, Users
from ranking.feature_names import ITEM_FEATURE_NAMES

BITS = {source: np.uint8(1 << place) for place, source in enumerate(SOURCES)}
Bits = NDArray[np.uint8]
CHUNK_CELLS = 100_000
"""Vector cells held at once while pairs are scored: a chunk stays in the processor's cache."""
MASK_CELLS = 200
"""Cells of a mask of all items that take as long to read as one row takes to sort."""
TABLE_CELLS = 4_000_000
"""Cells of a table of users by items held at once."""


class CandidateConfig(BaseModel):
    """How many candidates each source brings; a source may be switched off with 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: int = Field(300, ge=0, description="nearest items of the user's vector")
    fresh: int = Field(200, ge=0, description="newest items")
    popular: int = Field(100, ge=0, description="items with most users in each window of popularity")
    popular_days: tuple[int, ...] = Field((7, 28), description="the windows of popularity, days: some of 1, 7, 28")
    popular_ever: int = Field(100, ge=0, description="items with most users of all time")

    def without(self, sources: frozenset[str]) -> "CandidateConfig":
        """The same with these sources off."""
        sizes = {"two_tower": ("neighbours",), "fresh": ("fresh",), "popular": ("popular", "popular_ever")}
        return self.model_copy(update={size: 0 for source in sources for size in sizes[source]})


def fresh_rows(items: Items, count: int) -> Rows:
    """The newest `count` items, newest first; items of unknown age are never fresh."""
    dated = np.flatnonzero(~np.isnan(items.created_hours))
    return dated[largest(items.created_hours[dated], count)].astype(np.int32)


def popular_rows(items: Items, count: int, days: int | None) -> Rows:
    """The `count` items that most users clicked or saved in a window, or ever where `days` is None, most first;
    items without a user are left out."""
    if days not in (*WINDOWS_DAYS, None):
        raise ValueError(f"no popularity over {days} days is kept; use one of {', '.join(map(str, WINDOWS_DAYS))}")
    users = np.nan_to_num(items.features[:, ITEM_FEATURE_NAMES.index(f"users_{days}d" if days else "users")])
    with_users = np.flatnonzero(users > 0)
    return with_users[largest(users[with_users], count)].astype(np.int32)


def largest(values: NDArray[np.floating[Any]], count: int) -> Longs:
    """The places of the `count` largest values, the largest first and equal ones in order. Only those are sorted."""
    places = np.arange(len(values))
    if 0 < count < len(values):
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return places[np.argsort(-values[places], kind="stable")][:count]


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
    unhidden: NDArray[np.bool_] | None = None,
) -> Candidates:
    """The pairs to be ranked, in the order of `user_rows`, those of a user by item row.

    `neighbours` [B, N] are item rows with -1 where an index found fewer. `fresh` and `popular` are the same for all
    users. The items of a user's history are left out, and so are those where `excluded`, [I] or [B, I], is true. Where
    `unhidden`, [I] or [B, I], is true, an item of the history stays.

    The table of users by sources has a column for each of the J items that some source brings: with a million items, a
    column for each item would take longer than the rest of a request.
    """
    parts: list[tuple[Rows, Rows, Bits]] = []
    for some in _parts(len(user_rows), len(items.ids)):
        owners, found = np.nonzero(neighbours[some] >= 0)
        brought = np.concatenate([neighbours[some][owners, found], fresh, popular])
        columns, places = distinct_items(brought, len(items.ids))
        own, of_fresh, of_popular = np.split(places, np.cumsum([len(owners), len(fresh)]))
        for_all = np.zeros(len(columns), np.uint8)
        for_all[of_fresh] |= BITS["fresh"]
        for_all[of_popular] |= BITS["popular"]
        sources_BJ = np.tile(for_all, (len(user_rows[some]), 1))
        sources_BJ[owners, own] |= BITS["two_tower"]
        sources_BJ[_among(columns, *_history_cells(users, user_rows[some], _part(unhidden, some)))] = 0
        sources_BJ *= _allowed(excluded, some, columns)
        owners, cells = np.nonzero(sources_BJ)
        parts.append((user_rows[some][owners], columns[cells], sources_BJ[owners, cells]))
    pair_users, item_rows, bits = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Candidates(pair_users, item_rows, bits, retrieval_scores(users, items, pair_users, item_rows))


def distinct_items(item_rows: Rows, item_count: int) -> tuple[Rows, Rows]:
    """[J] the items, each once and in order, and [P] the position of each of these rows among them."""
    if (item_rows[1:] > item_rows[:-1]).all():  # the candidates of one user
        return item_rows, np.arange(len(item_rows), dtype=np.int32)
    if MASK_CELLS * len(item_rows) < item_count:
        few, places = np.unique(item_rows, return_inverse=True)
        return few, places.astype(np.int32)
    used = np.zeros(item_count, bool)
    used[item_rows] = True
    distinct_rows = np.flatnonzero(used).astype(np.int32)
    position = np.empty(item_count, np.int32)
    position[distinct_rows] = np.arange(len(distinct_rows), dtype=np.int32)
    return distinct_rows, position[item_rows]


def _allowed(excluded: NDArray[np.bool_] | None, some: slice, columns: Rows) -> NDArray[np.bool_] | bool:
    """[J] or [b, J] items of these columns that some of the users may get."""
    own = _part(excluded, some)
    return True if own is None else ~own[..., columns]


def _part(table: NDArray[np.bool_] | None, some: slice) -> NDArray[np.bool_] | None:
    """A table [I] or [B, I], for some of the users."""
    return table if table is None or table.ndim == 1 else table[some]


def _history_cells(users: Users, user_rows: Rows, unhidden: NDArray[np.bool_] | None) -> tuple[Longs, Rows]:
    """Where a table of these users by items has an item of their history that is not `unhidden`, [I] or [b, I]."""
    owners, history = users.history.where(user_rows)
    items = users.history_items[history]
    if unhidden is None:
        return owners, items
    kept = ~(unhidden[items] if unhidden.ndim == 1 else unhidden[owners, items])
    return owners[kept], items[kept]


def _among(columns: Rows, owners: Longs, item_rows: Rows) -> tuple[Longs, Longs]:
    """The cells of a table by items, in a table that has these columns alone."""
    places = np.searchsorted(columns, item_rows)
    found = np.append(columns, -1)[places] == item_rows
    return owners[found], places[found]


def _parts(users: int, items: int) -> Iterator[slice]:
    """Users whose tables fit into memory together; one empty part where there is no user."""
    step = max(1, TABLE_CELLS // max(1, items))
    return (slice(start, start + step) for start in range(0, max(users, 1), step))


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


def unseen_neighbours(
    index: NearestItems, users: Users, user_rows: Rows, count: int, unhidden: NDArray[np.bool_] | None = None
) -> Rows:
    """[B, N] the `count` nearest items of each user outside their history, best first; -1 where there are fewer. An
    item of the history that is `unhidden`, [I] or [B, I], counts as outside."""
    from ranking.candidate_kernel import keep_unseen  # noqa: PLC0415  Numba takes a moment to import

    most = int((users.history_offsets[user_rows + 1] - users.history_offsets[user_rows]).max(initial=0))
    nearest = index.search(users.vectors[user_rows], count + most).rows
    owners, seen = _history_cells(users, user_rows, unhidden)
    is_seen = np.zeros(int(max(nearest.max(initial=-1), seen.max(initial=-1))) + 1, bool)
    unseen = np.full((len(nearest), min(count, nearest.shape[1])), -1, np.int32)
    keep_unseen(nearest, offsets_of(np.bincount(owners, minlength=len(nearest))), seen, is_seen, unseen)
    return unseen


def retrieval_scores(users: Users, items: Items, user_rows: Rows, item_rows: Rows) -> Floats:
    """The dot of each pair's vectors, [P]."""
    scores = np.empty(len(user_rows), np.float32)
    step = max(1, CHUNK_CELLS // max(1, users.vectors.shape[1]))
    for start in range(0, len(scores), step):
        some = slice(start, start + step)
        owners, item_PD = user_rows[some], items.vectors[item_rows[some]]
        alone = owners[0] == owners[-1]  # then the user's vector is read once
        user_PD = np.broadcast_to(users.vectors[owners[0]], item_PD.shape) if alone else users.vectors[owners]
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
