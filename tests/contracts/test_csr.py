"""Rows of different lengths, by hand."""

import numpy as np

from contracts.csr import CsrRows, offsets_of, pair_keys

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
