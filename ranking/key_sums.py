"""Ranks within the pairs of a user, and sums over equal keys."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from contracts.csr import Doubles, Longs


def ranks_within(table: Longs, values: ArrayLike) -> Doubles:
    """[V, P] for each of some values [V, P]: 0 for the largest one in each row of a `table_of`, 1 for the next; equal
    values share the better rank. NaN has the last one."""
    from ranking.feature_kernel import write_ranks  # noqa: PLC0415  Numba takes a moment to import

    descending = 0 - np.asarray(values, np.float64)
    ranks = np.zeros(descending.shape)
    after = np.full((len(descending), 1), np.inf)  # what a place without a pair, -1, reads
    all_keys = np.concatenate([np.where(np.isnan(descending), np.inf, descending), after], axis=1)
    for own, out in zip(all_keys, ranks, strict=True):
        keys = own[table]
        write_ranks(table, keys, np.argsort(keys, axis=1, kind="stable"), out)
    return ranks


def lookup_sums(have: Longs, weights: Sequence[Doubles], want: Longs) -> list[Doubles]:
    """For each array of weights, its sums over equal keys, at each wanted key; 0 where there is none."""
    from ranking.feature_kernel import add_sums  # noqa: PLC0415  as above

    sums, order = np.zeros((len(weights), len(want))), np.argsort(have, kind="stable")
    keys = have[order]  # equal keys stay in their order: a sum of floats depends on it
    add_sums(keys, order, np.array(weights), want, np.searchsorted(keys, want), sums)
    return list(sums)
