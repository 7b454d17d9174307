import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contracts.csr import pair_keys
from ranking.ragged import lookup_sums, medians, ranks_within


def test_ranks_share_the_better_place_and_put_unknown_last():
    ranks = ranks_within(np.array([0, 0, 0, 0, 1]), np.array([5, np.nan, 7, 5, -1.0]))
    assert ranks.tolist() == [1, 3, 0, 1, 0]


@given(arrays(np.int64, 20, elements=st.integers(0, 3)), arrays(np.float64, 20, elements=st.integers(0, 4)))
def test_ranks_count_the_larger_values_of_the_same_owner(owners, values):
    want = [np.sum((owners == owner) & (values > value)) for owner, value in zip(owners, values, strict=True)]
    assert ranks_within(owners, values).tolist() == want


def test_sums_are_looked_up_by_key():
    have = pair_keys(np.array([0, 0, 1]), np.array([7, 7, 7]))
    want = pair_keys(np.array([0, 1, 1]), np.array([7, 7, 8]))
    assert lookup_sums(have, np.array([1.0, 2, 4]), want).tolist() == [3, 4, 0]
    assert lookup_sums(have[:0], np.zeros(0), want).tolist() == [0, 0, 0]


def test_the_lower_median_of_each_owner():
    medians_ = medians(np.array([0, 2, 2, 0, 0]), np.array([9, 4, 2, 1, 5.0]), 3)
    assert medians_[[0, 2]].tolist() == [5, 2]
    assert np.isnan(medians_[1])
