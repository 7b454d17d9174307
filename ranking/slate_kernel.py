"""The compiled loop of `slate`: the places of each user's list, filled one after the other."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ranking.tree_kernel import compiled

Array = NDArray[Any]


@njit(nogil=True)
def _kept(candidate: int, codes: Array, limit_of: Array, most: Array, recent: Array, shown: Array, wanted: int) -> int:
    """The bits of `wanted` that the candidate keeps beside the pairs of `shown`: the first one if it is not recent, one
    more for each limit."""
    kept = wanted & ~1 if recent[candidate] else wanted
    for column in range(len(limit_of)):
        code, limit, same = codes[candidate, column], limit_of[column], 0
        for other in range(len(limit_of) if code >= 0 else 0):
            if limit_of[other] == limit:
                for place in range(len(shown)):
                    same += codes[shown[place], other] == code
        if same >= most[limit]:
            kept &= ~(2 << limit)
    return kept


@njit(nogil=True)
def _best(first: int, last: int, wanted: int, order: Array, is_open: Array, kept: Array, worth: Array) -> int:
    """The position in `order` of the best open candidate that keeps the wanted limits; -1 without any."""
    best = -1
    for position in range(first, last):
        candidate = order[position]
        fits = is_open[candidate] and kept[candidate] & wanted == wanted
        if fits and (best < 0 or worth[candidate] > worth[order[best]]):
            best = position
    return best


@njit(nogil=True)
def _best_of_all(first: int, last: int, every: int, order: Array, is_open: Array, kept: Array, worth: Array) -> Any:
    """The position of the best open candidate, and what it was wanted to keep: where no candidate keeps everything, the
    later limits give way."""
    best, wanted = _best(first, last, every, order, is_open, kept, worth), every
    if best < 0:
        wanted, bit = 0, 1
        while bit <= every:
            if _best(first, last, wanted | bit, order, is_open, kept, worth) >= 0:
                wanted |= bit
            bit <<= 1
        best = _best(first, last, wanted, order, is_open, kept, worth)
    return best, wanted


@njit(nogil=True)
def _update_worth(
    first: int,
    last: int,
    order: Array,
    pair: int,
    relevance: Array,
    diversity: float,
    vectors: Array,
    likest: Array,
    worth: Array,
) -> None:
    """After `pair` was chosen: compare its vector with those of the user's other pairs."""
    for position in range(first, last):
        other = order[position]
        like = np.float32(0)
        for axis in range(vectors.shape[1]):
            like += vectors[other, axis] * vectors[pair, axis]
        likest[other] = max(likest[other], like)
        worth[other] = (1 - diversity) * relevance[other] - diversity * likest[other]


@compiled
def fill_places(
    starts: Array,
    order: Array,
    relevance: Array,
    codes: Array,
    limit_of: Array,
    most: Array,
    recent: Array,
    window: int,
    diversity: float,
    vectors: Array,
    k: int,
    chosen: Array,
    places: Array,
    relaxed: Array,
    before_starts: Array,
    before: Array,
) -> None:
    """Write the chosen pairs, their places and whether a limit was relaxed there.

    `starts` [B + 1] are offsets into `order` [P]: each user's pairs, by relevance where there is no `diversity`. A pair
    has `codes` [P, C], -1 where unknown; `limit_of` [C] is the limit that a column of them belongs to. A `recent` pair
    [P] comes after all others. `before_starts` [B + 1] are offsets into `before`: the rows of `codes`, after those of
    the pairs, of what stood right before each list.
    """
    count, every = 0, (2 << len(most)) - 1
    is_open, kept = np.ones(len(order), np.bool_), np.zeros(len(order), np.int64)
    worth, likest = relevance.copy(), np.full(len(order), -np.inf, np.float32)
    for user in range(len(starts) - 1):
        first, last, listed = starts[user], starts[user + 1], count
        preceding = before[before_starts[user] : before_starts[user + 1]]
        for place in range(min(k, last - first)):
            shown = chosen[max(listed, count - window + 1) : count]
            if len(preceding) and place < window - 1:
                shown = np.concatenate((preceding[max(0, len(preceding) - window + 1 + place) :], shown))
            best, wanted = -1, every
            for position in range(first, last):
                candidate = order[position]
                if is_open[candidate]:
                    kept[candidate] = _kept(candidate, codes, limit_of, most, recent, shown, every)
                    if diversity == 0 and kept[candidate] == every:
                        best = position
                        break
            if best < 0:
                best, wanted = _best_of_all(first, last, every, order, is_open, kept, worth)
            pair = order[best]
            is_open[pair] = False
            chosen[count], places[count], relaxed[count] = pair, place, wanted | 1 != every
            count += 1
            if diversity > 0:
                _update_worth(first, last, order, pair, relevance, diversity, vectors, likest, worth)
