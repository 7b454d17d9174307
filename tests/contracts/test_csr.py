"""Rows of different lengths, by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contracts.csr import (
    CsrRows,
    distinct,
    medians,
    offsets_of,
    pair_keys,
    table_of,
)

TABLE = CsrRows(np.array([0, 2, 2, 5]))


def test_counts_and_owners() -> None:
    assert TABLE.counts.tolist() == [2, 0, 3]
    assert TABLE.owners.tolist() == [0, 0, 2, 2, 2]


def test_where_gives_positions_in_the_order_of_the_rows_asked_for() -> None:
    owners, positions = TABLE.where(np.array([2, 1, 0, 2]))
    assert owners.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert positions.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]


def test_select_is_a_table_of_its_own() -> None:
    offsets, positions = TABLE.select(np.array([2, 0]))
    assert offsets.tolist() == [0, 3, 5]
    assert positions.tolist() == [2, 3, 4, 0, 1]


def test_no_rows_have_no_values() -> None:
    owners, positions = TABLE.where(np.zeros(0, np.int32))
    assert len(owners) == len(positions) == 0
    assert offsets_of(np.zeros(0, np.int64)).tolist() == [0]


def test_keys_sort_by_owner_then_code() -> None:
    owners, codes = np.array([1, 0, 1], np.int32), np.array([0, 2**31 - 1, 5], np.int32)
    assert np.argsort(pair_keys(owners, codes)).tolist() == [1, 0, 2]
    assert len(np.unique(pair_keys(owners, codes))) == 3


def test_a_table_has_the_positions_of_each_owner() -> None:
    assert table_of(np.array([2, 0, 2]), 3).tolist() == [[1, -1], [-1, -1], [0, 2]]
    assert table_of(np.zeros(0, np.int64), 2).shape == (2, 0)


@given(arrays(np.int32, st.integers(0, 12), elements=st.integers(0, 3)))
def test_distinct_values_are_those_of_numpy(rows):
    values, positions = distinct(rows)
    expected, inverse = np.unique(rows, return_inverse=True)
    assert (values.tolist(), positions.tolist()) == (expected.tolist(), inverse.tolist())


def test_the_lower_median_of_each_owner():
    medians_ = medians(np.array([0, 2, 2, 0, 0]), np.array([9, 4, 2, 1, 5.0]), 3)
    assert medians_[[0, 2]].tolist() == [5, 2]
    assert np.isnan(medians_[1])
