"""Ids in arrays: as long as they are, and no longer."""

import sys
import tracemalloc

import numpy as np
import polars as pl

from pipeline.feature_assembly import rows_of
from ranking.feature_arrays import ids_of, marked

LONG = "x" * 512
TWINS = ["a", "a\0", "a\0\0", " a", ""]
"""Ids that fixed-width text does not separate, or that look like nothing."""


def test_ids_are_kept_to_the_last_character() -> None:
    ids = ids_of([*TWINS, LONG, "é😀"])
    assert ids.tolist() == [*TWINS, LONG, "é😀"]
    assert len(set(ids)) == 7
    assert ids[np.array([1, 0, 5])].tolist() == ["a\0", "a", LONG]


def test_no_ids_and_a_single_one() -> None:
    assert ids_of([]).shape == (0,)
    assert ids_of(iter(["one"])).tolist() == ["one"]
    assert ids_of(pl.Series(["7", "8"])).tolist() == ["7", "8"]


def test_marked_separates_twins() -> None:
    assert marked(ids_of(TWINS), {"a\0"}).tolist() == [False, True, False, False, False]
    assert marked(ids_of([]), {"a"}).shape == (0,)


def test_rows_of_separates_twins() -> None:
    wanted = pl.Series(["a\0\0", "a", "b", "a\0"])
    assert rows_of(wanted, ids_of(TWINS)).to_list() == [2, 0, None, 1]
    assert rows_of(wanted, ids_of([])).to_list() == [None] * 4


def test_memory_does_not_grow_with_the_longest_id() -> None:
    texts = [f"item-{n}" for n in range(20_000)]
    tracemalloc.start()
    short = ids_of(texts)
    size = tracemalloc.get_traced_memory()[0]
    with_long = ids_of([*texts[:-1], "x" * 8020])
    grown = tracemalloc.get_traced_memory()[0] - size
    tracemalloc.stop()
    assert short.nbytes == with_long.nbytes == 20_000 * 8
    assert grown < 2 * size + sys.getsizeof("x" * 8020)
