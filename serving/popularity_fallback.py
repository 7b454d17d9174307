"""The list that is the same for everyone: what is new and what is read, in turns. It knows nobody."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.candidates import taken
from ranking.feature_arrays import Floats, Rows
from ranking.rank_users import RankedUsers, first_sources

FRESH, POPULAR = "fresh", "popular"


@dataclass(frozen=True)
class Ranked:
    """One list, best first."""

    rows: Rows  # [L] rows of the release's items
    scores: Floats  # [L] comparable within the list only
    sources: NDArray[np.str_]  # [L] what brought the item


def ranked(users: RankedUsers, pairs: NDArray[np.int64]) -> Ranked:
    """Some pairs of `rank_users` as a list."""
    candidates = taken(users.candidates, pairs)
    return Ranked(candidates.item_rows, users.scores[pairs], first_sources(candidates.sources))


def everyones(fresh: Rows, popular: Rows) -> Ranked:
    """Fresh and popular items in turns, each once; an item that is both counts where it comes first."""
    rows = np.concatenate([fresh, popular]).astype(np.int32)
    turns = np.concatenate([2 * np.arange(len(fresh)), 2 * np.arange(len(popular)) + 1])
    sources = np.array([FRESH] * len(fresh) + [POPULAR] * len(popular), dtype=np.str_)
    order = np.argsort(turns, kind="stable")
    _, first = np.unique(rows[order], return_index=True)
    order = order[np.sort(first)]
    return Ranked(rows[order], (1 / np.arange(1, len(order) + 1)).astype(np.float32), sources[order])
