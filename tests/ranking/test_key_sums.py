"""Ranks within the pairs of a user, and sums over equal keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contracts.csr import pair_keys, table_of
from ranking.key_sums import lookup_sums, ranks_within


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ranks_share_the_better_place_and_put_unknown_last(kind):
    values = np.array([5, np.nan, 7, 5, -np.inf, -1.0], kind)
    ranks = ranks_within(table_of(np.array([0, 0, 0, 0, 0, 1]), 2), [values, 0 - values])
    assert ranks.tolist() == [[1, 3, 0, 1, 3, 0], [1, 4, 3, 1, 0, 0]]


@given(arrays(np.int64, 20, elements=st.integers(0, 3)), arrays(np.float64, 20, elements=st.integers(0, 4)))
def test_ranks_count_the_larger_values_of_the_same_owner(owners, values):
    want = [np.sum((owners == owner) & (values > value)) for owner, value in zip(owners, values, strict=True)]
    assert ranks_within(table_of(owners, 4), [values]).tolist() == [want]
    assert ranks_within(table_of(owners, 4), [values.astype(np.float32)]).tolist() == [want]


def test_no_pairs_have_no_ranks():
    assert ranks_within(table_of(np.zeros(0, np.int64), 0), np.zeros((2, 0))).tolist() == [[], []]


def test_sums_are_looked_up_by_key():
    have = pair_keys(np.array([0, 0, 1]), np.array([7, 7, 7]))
    want = pair_keys(np.array([0, 1, 1]), np.array([7, 7, 8]))
    once = np.ones(3)
    assert [sums.tolist() for sums in lookup_sums(have, [np.array([1.0, 2, 4]), once], want)] == [[3, 4, 0], [2, 1, 0]]
    assert [sums.tolist() for sums in lookup_sums(have[:0], [np.zeros(0)], want)] == [[0, 0, 0]]
