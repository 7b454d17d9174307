"""Ranks within the pairs of a user, and sums over equal keys."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Doubles, Longs


def ranks_within(table: Longs, values: NDArray[np.floating[Any]]) -> Doubles:
    """[P] 0 for the largest value in each row of a `table_of`, 1 for the next; equal values share the better rank. NaN
    has the last one."""
    from ranking.feature_kernel import write_ranks  # noqa: PLC0415  Numba takes a moment to import

    ranks = np.zeros(len(values))
    if table.size:
        descending = 0 - np.nan_to_num(values.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        keys = np.where(table < 0, np.inf, descending[table])
        write_ranks(table, keys, np.argsort(keys, axis=1, kind="stable"), ranks)
    return ranks


def lookup_sums(have: Longs, weights: Sequence[Doubles], want: Longs) -> list[Doubles]:
    """For each array of weights, its sums over equal keys, at each wanted key; 0 where there is none."""
    from ranking.feature_kernel import add_sums  # noqa: PLC0415  as above

    sums, order = np.zeros((len(weights), len(want))), np.argsort(have, kind="stable")
    keys = have[order]  # equal keys stay in their order: a sum of floats depends on it
    add_sums(keys, order, np.array(weights), want, np.searchsorted(keys, want), sums)
    return list(sums)
