"""From scores to the list that is shown: no creator or category crowds it, nor do the items that most users get, and
near copies give way.

Greedy over the places of each user. Shapes: B users, P pairs, C columns of codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Longs, offsets_of
from ranking.fatigue import PairFatigue
from ranking.feature_arrays import Candidates, Floats, Items, Rows
from ranking.similarity import unit

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
    preceding: "PrecedingItems | None" = None,
) -> Slates:
    """At most `k` pairs for each user; fewer where the user has fewer candidates.

    `exposure` [I] is the share of users with each item among their first ones; without it, no item is common.
    `fatigue` is what is left of each pair's relevance; without it, all is. `preceding` items count in the
    first windows.

    With `diversity` d the next item is the one with the largest (1 - d) * relevance - d * (largest cosine with what was
    chosen before): maximal marginal relevance, Carbonell & Goldstein 1998. Relevance is the score scaled to 0..1 within
    the user's candidates, less the discount. Equal values go to the earlier pair.
    """
    from ranking.slate_kernel import fill_places  # noqa: PLC0415  Numba takes a moment to import

    starts = np.append(np.flatnonzero(np.diff(candidates.user_rows, prepend=-1)), len(candidates.user_rows))
    rows, exposure = candidates.item_rows, np.zeros(len(items.ids), np.float32) if exposure is None else exposure
    relevance, recent = _relevance(scores.astype(float), starts), np.zeros(len(rows), bool)
    if fatigue is not None:
        relevance, recent = relevance * fatigue.remaining, fatigue.recent
    relevance = relevance - config.common_discount * exposure[rows]
    order = np.arange(len(rows)) if config.diversity else _by_relevance(relevance, starts)
    vectors = unit(items.vectors[rows]) if config.diversity else np.zeros((1, 0), np.float32)
    size = int(np.minimum(np.diff(starts), max(k, 0)).sum())
    chosen, places, relaxed = np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, bool)
    before_starts, items_before = np.zeros(len(starts), np.int64), rows[:0]
    if preceding is not None:
        before_starts, items_before = preceding.of(candidates.user_rows[starts[:-1]])
    before = len(rows) + np.arange(len(items_before))
    limits = (*_limits(items, np.append(rows, items_before), config, exposure), recent, config.window)
    written = (chosen, places, relaxed, before_starts, before)
    if size:
        fill_places(starts, order, relevance, *limits, config.diversity, vectors, k, *written)
    return Slates(chosen, places, relaxed)


@dataclass(frozen=True)
class PrecedingItems:
    """What stood right before the lists of B users: the end of an earlier page or feed."""

    user_rows: Rows  # [B]
    items: Sequence[Rows]  # [B], each oldest first

    def of(self, user_rows: Rows) -> tuple[Longs, Rows]:
        """Offsets [L + 1] and item rows of these users, who are some of the B users."""
        items_of = dict(zip(self.user_rows.tolist(), self.items, strict=True))
        parts = [items_of[row] for row in user_rows.tolist()]
        return offsets_of(np.array(list(map(len, parts)), np.int64)), np.concatenate([*parts, NO_ITEMS])


NO_ITEMS = np.zeros(0, np.int32)


def _limits(items: Items, rows: Rows, config: SlateConfig, exposure: Floats) -> tuple[Longs, Longs, Longs]:
    """The codes that are limited [P, C], -1 where unknown; the limit that each column belongs to [C]; and the limits.

    The first limit is the last one to give way."""
    common = exposure[rows] >= _common_share(exposure, config)
    every = (
        (lambda: items.creator[rows][:, None], config.per_creator),
        (lambda: _categories(items, rows), config.per_category),
        (lambda: np.where(common, 0, -1)[:, None], config.per_common if common.any() else 0),
    )
    limits = [(codes().astype(np.int64), most) for codes, most in every if most]
    columns = [np.zeros((len(rows), 0), np.int64), *(codes for codes, _ in limits)]
    widths = [codes.shape[1] for codes, _ in limits]
    most = np.array([most for _, most in limits], np.int64)
    return np.concatenate(columns, axis=1), np.arange(len(limits)).repeat(widths), most


def _by_relevance(relevance: NDArray[np.float64], starts: Longs) -> Longs:
    """The pairs of each user, best first; equal ones in their order."""
    owners = np.arange(len(starts) - 1).repeat(np.diff(starts))
    return np.lexsort((-relevance, owners))


def _relevance(scores: NDArray[np.float64], starts: Longs) -> NDArray[np.float64]:
    """Scores as 0..1 within the pairs of each user; all 1 where they are equal."""
    if not len(scores):
        return scores
    lengths = np.diff(starts)
    least, most = (each.reduceat(scores, starts[:-1]).repeat(lengths) for each in (np.minimum, np.maximum))
    relevance: NDArray[np.float64] = np.divide(
        scores - least, most - least, out=np.ones_like(scores), where=most > least
    )
    return relevance


def _common_share(exposure: Floats, config: SlateConfig) -> float:
    """From which share of the users an item is common: also several times as many as would have any item by chance.
    Lists of twenty out of fifty items are alike by necessity, and a limit would fill them with what suits no user."""
    return max(config.common_share, TIMES_CHANCE * float(exposure.mean()))


def _categories(items: Items, rows: Rows) -> Longs:
    """[P, C] category codes of each candidate, -1 beyond its own."""
    owners, at = items.categories.where(rows)
    column = np.arange(len(owners)) - np.searchsorted(owners, owners)
    table = np.full((len(rows), max(int(column.max(initial=-1)) + 1, 1)), -1, np.int64)
    table[owners, column] = items.category_codes[at]
    return table
