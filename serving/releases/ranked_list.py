"""A list of items, and the non-profiled list of a release."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.candidates import taken
from ranking.feature_arrays import Floats, Rows
from ranking.rank_users import RankedUsers, first_sources

FRESH, POPULAR = "fresh", "popular"


@dataclass(frozen=True)
class RankedList:
    """One list, best first."""

    rows: Rows  # [L] rows of the release's items
    scores: Floats  # [L] comparable within the list only
    sources: NDArray[np.str_]  # [L] the candidate source of each item

    @classmethod
    def of(cls, ranked: RankedUsers, pairs: NDArray[np.int64]) -> "RankedList":
        """Some pairs of `rank_users`, of one user or of several."""
        candidates = taken(ranked.candidates, pairs)
        return RankedList(candidates.item_rows, ranked.scores[pairs], first_sources(candidates.sources))


def fallback_list(fresh: Rows, popular: Rows) -> RankedList:
    """The non-profiled list: fresh and popular items in alternation, each item once, at its first place."""
    turns = np.concatenate([2 * np.arange(len(fresh)), 2 * np.arange(len(popular)) + 1])
    order = np.argsort(turns, kind="stable")
    rows = np.concatenate([fresh, popular]).astype(np.int32)[order]
    sources = np.repeat([FRESH, POPULAR], [len(fresh), len(popular)])[order]
    first = _is_first(rows)
    scores = (1 / np.arange(1, np.count_nonzero(first) + 1)).astype(np.float32)
    return RankedList(rows[first], scores, sources[first])


def _is_first(rows: Rows) -> NDArray[np.bool_]:
    """[N] whether no row before is the same."""
    places = np.arange(len(rows))
    first_place = np.zeros(int(rows.max(initial=-1)) + 1, np.int64)
    first_place[rows[::-1]] = places[::-1]  # the last one written stays
    return np.asarray(first_place[rows] == places)
