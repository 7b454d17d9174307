"""From scores to the list that is shown: no creator or category crowds it, nor do the items that everyone gets, and
near copies give way.

Greedy over places, all users at once. Shapes: B users, N most candidates of one user, P pairs, D vector size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Longs
from ranking.fatigue import PairFatigue
from ranking.feature_arrays import Candidates, Floats, Items, Rows
from ranking.similarity import unit

USERS_AT_ONCE = 256
AHEAD = 100
"""Candidates after the places of a list among which the next item is usually found."""
SHOWN_MOMENTS_AGO = 3.0
"""Taken from the relevance of what was shown moments ago: more than any relevance and discount."""
TIMES_CHANCE = 3
"""The exposure of a common item, over the mean one."""


class SlateConfig(BaseModel):
    """At most so many of one creator, of one category, and of common items, in any `window` neighbouring places; 0 is
    no limit. An item is common if a share of the users, `common_share`, would have it among their first items. What
    many would have is worth less: `common_discount` times that share is taken from the relevance.

    Where every candidate left would break a limit, the best of them is taken all the same and marked `relaxed`: a feed
    that holds too much of one creator is better than one that ends. The limit of common items gives way first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(10, ge=1, description="neighbouring places that the limits apply to")
    per_creator: int = Field(3, ge=0, description="most items of one creator in a window; 0: no limit")
    per_category: int = Field(0, ge=0, description="most items of one category in a window; 0: no limit")
    per_common: int = Field(6, ge=0, description="most common items in a window; 0: no limit")
    common_share: float = Field(0.3, gt=0, lt=1, description="share of users from which an item is common")
    common_discount: float = Field(
        0.1, ge=0, le=1, description="taken from an item's relevance, times the share of users with it"
    )
    diversity: float = Field(0.0, ge=0, le=1, description="0: by score alone; towards 1: unlike what is above it")


@dataclass(frozen=True)
class Slates:
    """The chosen pairs, those of a user side by side and best first; users in the order of the candidates."""

    pairs: Longs  # [S] positions in the candidates
    places: Rows  # [S] 0 for the first of each list
    relaxed: NDArray[np.bool_]  # [S] a limit could not be kept here

    def matrix(self, candidates: Candidates, user_rows: Rows, k: int) -> Longs:
        """[U, k] positions in the candidates, a row for each of `user_rows`, best first; -1 in empty places.

        Every user of the candidates must be one of `user_rows`; -1 there stands for a user without candidates.
        """
        line_of = np.full(max(user_rows.max(initial=-1), candidates.user_rows.max(initial=-1)) + 2, -1)
        line_of[user_rows] = np.arange(len(user_rows))  # -1 writes to the last element, which is never read
        positions = np.full((len(user_rows), k), -1, np.int64)
        positions[line_of[candidates.user_rows[self.pairs]], self.places] = self.pairs
        return positions


def slates(
    items: Items,
    candidates: Candidates,
    scores: Floats,
    config: SlateConfig,
    *,
    k: int,
    exposure: Floats | None = None,
    fatigue: PairFatigue | None = None,
) -> Slates:
    """At most `k` pairs for each user; fewer where the user has fewer candidates.

    `exposure` [I] is the share of users with each item among their first ones; without it, no item is common.
    `fatigue` is what is left of each pair's relevance; without it, all is.

    With `diversity` d the next item is the one with the largest (1 - d) * relevance - d * (largest cosine with what was
    chosen before): maximal marginal relevance, Carbonell & Goldstein 1998. Relevance is the score scaled to 0..1 within
    the user's candidates, less the discount. Equal values go to the earlier pair.
    """
    starts = np.flatnonzero(np.diff(candidates.user_rows, prepend=-1))
    lengths = np.diff(np.append(starts, len(candidates.user_rows)))
    exposure = np.zeros(len(items.ids), np.float32) if exposure is None else exposure
    chunks = (slice(some, some + USERS_AT_ONCE) for some in range(0, len(starts), USERS_AT_ONCE))
    parts = [
        _Greedy(items, candidates, scores, config, starts[some], lengths[some], exposure, fatigue).run(k)
        for some in chunks
    ]
    chosen = np.concatenate([np.zeros((0, 3), np.int64), *parts])
    return Slates(chosen[:, 0], chosen[:, 1].astype(np.int32), chosen[:, 2].astype(bool))


class _Greedy:
    """The places of some users' lists, filled one after the other."""

    def __init__(  # the parts of one greedy choice
        self,
        items: Items,
        candidates: Candidates,
        scores: Floats,
        config: SlateConfig,
        starts: Longs,
        lengths: Longs,
        exposure: Floats,
        fatigue: PairFatigue | None,
    ) -> None:
        self._config, self._users = config, np.arange(len(starts))
        column = np.arange(lengths.max(initial=0))
        self._open = column < lengths[:, None]  # [B, N]
        self._pairs = np.where(self._open, starts[:, None] + column, 0)
        rows, common = candidates.item_rows[self._pairs], _common(exposure, config)
        relevance = _relevance(scores[self._pairs].astype(float), self._open)
        if fatigue is not None:
            relevance = relevance * fatigue.remaining[self._pairs] - SHOWN_MOMENTS_AGO * fatigue.recent[self._pairs]
        self._relevance = relevance - config.common_discount * exposure[rows]
        if config.diversity == 0:  # the next item is then the first that is left
            rows = self._sort_by_relevance(rows)
        self._recent = None if fatigue is None else fatigue.recent[self._pairs]
        self._width = self._open.shape[1]
        self._likest = np.full(rows.shape, -np.inf)
        self._vectors = unit(items.vectors[rows]) if config.diversity > 0 else None
        self._limits = [
            _Limit(codes, config.window, most, len(starts))
            for codes, most in (
                (items.creator[rows][..., None], config.per_creator),
                (_categories(items, rows), config.per_category),
                (np.where(common[rows], 0, -1)[..., None], config.per_common if common.any() else 0),
            )
            if most
        ]

    def _sort_by_relevance(self, rows: Rows) -> Rows:
        order = np.argsort(np.where(self._open, -self._relevance, np.inf), axis=1, kind="stable")
        self._open, self._pairs = (np.take_along_axis(each, order, axis=1) for each in (self._open, self._pairs))
        return np.take_along_axis(rows, order, axis=1)

    def run(self, k: int) -> Longs:
        """[S, 3]: pair, place, whether a limit was relaxed."""
        if self._config.diversity == 0:
            self._width = k + AHEAD
        filled = [self._place(place) for place in range(min(k, self._open.shape[1]))]
        table = np.array(filled, np.int64).reshape(-1, len(self._users), 3).transpose(1, 0, 2).reshape(-1, 3)
        return table[table[:, 0] >= 0]

    def _place(self, place: int) -> Longs:
        allowed, relaxed = self._allowed(self._width)
        if self._width < self._open.shape[1] and (relaxed.any() or not allowed.any(axis=1).all()):
            self._width *= 2
            allowed, relaxed = self._allowed(self._open.shape[1])
        best = self._best(allowed, place)
        real = self._open[self._users, best]
        self._take(best, real)
        pairs = np.where(real, self._pairs[self._users, best], -1)
        return np.stack([pairs, np.full(len(pairs), place), relaxed], axis=1)

    def _allowed(self, width: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """[B, N] which of the first `width` candidates may come next, and [B] whether a limit was relaxed for them."""
        allowed, relaxed = self._open[:, :width], np.zeros(len(self._users), bool)
        if self._recent is not None:
            others = allowed & ~self._recent[:, :width]
            allowed = np.where(others.any(axis=1, keepdims=True), others, allowed)
        for limit in self._limits:
            kept = allowed & ~limit.full(width)
            broken = np.logical_not(np.any(kept, axis=1))  # every candidate left would break this limit
            if broken.any():
                kept[broken] = allowed[broken]
            allowed, relaxed = kept, relaxed | broken
        return allowed, relaxed

    def _best(self, allowed: NDArray[np.bool_], place: int) -> Longs:
        worth = allowed if self._config.diversity == 0 else np.where(allowed, self._worth(place), -np.inf)
        best: Longs = np.argmax(worth, axis=1)
        return best

    def _worth(self, place: int) -> NDArray[np.float64]:
        d = self._config.diversity
        if place == 0:
            return self._relevance
        return (1 - d) * self._relevance - d * self._likest

    def _take(self, best: Longs, real: NDArray[np.bool_]) -> None:
        self._open[self._users, best] = False
        for limit in self._limits:
            limit.add(best, real)
        if self._vectors is not None:
            like = np.einsum("bnd,bd->bn", self._vectors, self._vectors[self._users, best])
            self._likest = np.maximum(self._likest, like)


class _Limit:
    """How often each code stands in the last `window - 1` places of each list."""

    def __init__(self, codes: Longs | Rows, window: int, most: int, users: int) -> None:
        """`codes` [B, N, C], -1 where unknown: unknown codes have no limit."""
        used = np.zeros(int(codes.max(initial=-1)) + 2, bool)
        used[codes + 1] = True
        self._codes = (np.cumsum(used) - used[0])[codes + 1]  # 1 for the first code in use; 0 is unknown
        self._counts = np.zeros((users, int(used.sum()) + 1), np.int32)
        self._cells = self._codes + self._counts.shape[1] * np.arange(users)[:, None, None]
        self._window, self._most, self._users = window, most, np.arange(users)
        self._shown: list[tuple[Longs, NDArray[np.bool_]]] = []

    def full(self, width: int) -> NDArray[np.bool_]:
        """[B, N] which of the first `width` candidates would be one too many."""
        full: NDArray[np.bool_] = np.take(self._counts >= self._most, self._cells[:, :width])
        return full[..., 0] if full.shape[2] == 1 else np.asarray(full.any(axis=2))

    def add(self, best: Longs, real: NDArray[np.bool_]) -> None:
        """Count the taken candidates, and forget those that left the window."""
        self._shown.append((best, real))
        self._count(best, real, 1)
        if len(self._shown) >= self._window:
            self._count(*self._shown.pop(0), -1)

    def _count(self, best: Longs, real: NDArray[np.bool_], step: int) -> None:
        codes = self._codes[self._users, best]  # [B, C]
        np.add.at(self._counts, (self._users[:, None], codes), step * real[:, None])
        self._counts[:, 0] = 0


def _relevance(scores: NDArray[np.float64], real: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores as 0..1 within each row; all 1 where they are equal."""
    least = np.where(real, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    most = np.where(real, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    relevance: NDArray[np.float64] = np.divide(
        scores - least, most - least, out=np.ones_like(scores), where=most > least
    )
    return relevance


def _common(exposure: Floats, config: SlateConfig) -> NDArray[np.bool_]:
    """[I] the items that a share of the users would have, and several times as many as would have any item by chance:
    lists of twenty out of fifty items are alike by necessity, and a limit would fill them with what suits no user."""
    return np.asarray(exposure >= max(config.common_share, TIMES_CHANCE * float(exposure.mean())))


def _categories(items: Items, rows: Rows) -> Longs:
    """[B, N, C] category codes of each candidate, -1 beyond its own."""
    owners, at = items.categories.where(rows.ravel())
    column = np.arange(len(owners)) - np.searchsorted(owners, owners)
    table = np.full((rows.size, max(int(column.max(initial=-1)) + 1, 1)), -1, np.int64)
    table[owners, column] = items.category_codes[at]
    return table.reshape(*rows.shape, -1)
