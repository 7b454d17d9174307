"""Operations on the values of many owners side by side: sums, ranks and medians within each owner."""

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs, Rows

Doubles = NDArray[np.float64]


def lookup_sums(have: Longs, weights: Doubles, want: Longs) -> Doubles:
    """The sum of `weights` over equal keys, for each wanted key; 0 where there is none."""
    if not len(have):
        return np.zeros(len(want))
    unique, inverse = np.unique(have, return_inverse=True)
    sums = np.bincount(inverse, weights=weights, minlength=len(unique))
    at = np.minimum(np.searchsorted(unique, want), len(unique) - 1)
    return np.where(unique[at] == want, sums[at], 0.0)


def ranks_within(owners: Longs | Rows, values: NDArray[np.floating]) -> Doubles:
    """0 for the largest value of each owner, 1 for the next; equal values share the better rank, NaN comes last."""
    values = np.nan_to_num(values, nan=-np.inf, neginf=-np.inf, posinf=np.inf)
    order = np.lexsort((-values, owners))
    same_owner = owners[order][1:] == owners[order][:-1]
    tied = same_owner & (values[order][1:] == values[order][:-1])
    place = np.arange(len(order))
    first = np.maximum.accumulate(np.where(np.concatenate([[False], tied])[: len(order)], 0, place))
    start = np.maximum.accumulate(np.where(np.concatenate([[False], same_owner])[: len(order)], 0, place))
    ranks = np.empty(len(order))
    ranks[order] = first - start
    return ranks


def medians(owners: Longs, values: Doubles, count: int) -> Doubles:
    """The lower median of each owner's values, [count]; NaN for an owner without any."""
    order = np.lexsort((values, owners))
    starts = np.searchsorted(owners[order], np.arange(count + 1))
    middle = (starts[:-1] + starts[1:] - 1) // 2
    lower_medians = np.full(count, np.nan)
    filled = starts[1:] > starts[:-1]
    lower_medians[filled] = values[order][middle[filled]]
    return lower_medians
