"""Bare pairs of user and item: how they are read and ordered, and their matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from contracts import columns as c
from contracts.errors import SchemaMismatch, UnreadableInput
from contracts.instants import EPOCH_UNITS
from evaluation import item_sets
from evaluation.rankings import Labels, Rows
from pipeline.ingestion.casts import to_text
from pipeline.ingestion.instant_casts import to_instant

Cast = Callable[[str, pl.DataType], pl.Expr | None]
FIRST_UNIX_TIME = EPOCH_UNITS[0][0]
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def read_train(path: Path, *, ordered: bool, seed: int) -> pl.DataFrame:
    """`user_id, item_id` as text, and `timestamp` where the rows have an order; see `in_order`.

    Raises `UnreadableInput` or `SchemaMismatch` where rows, columns, ids or instants are missing or of another kind.
    """
    return _read(path, lambda pairs: in_order(pairs, ordered=ordered, seed=seed))


def read_named(path: Path) -> pl.DataFrame:
    """`user_id, item_id` as text; other columns are ignored. Raises as `read_train` does."""
    return _read(path, named)


def in_order(pairs: pl.DataFrame, *, ordered: bool, seed: int) -> pl.DataFrame:
    """Rows with a `timestamp` oldest first, ties at random unless `ordered` states that the file's rows are in order.

    Without a `timestamp`, rows are in order if and only if `ordered`: they get one, a second a row. Otherwise they have
    no order: they are shuffled and get no `timestamp`.
    """
    shuffled = pairs if ordered else pairs.sample(fraction=1.0, shuffle=True, seed=seed)
    if c.TIMESTAMP in pairs.columns:
        return dated(shuffled).sort(c.TIMESTAMP, maintain_order=True)
    return dated(shuffled) if ordered else named(shuffled)


def _read(path: Path, wanted: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    try:
        pairs = wanted(_read_pairs(path))
    except SchemaMismatch as wrong:
        raise SchemaMismatch(f"{path}: {wrong}") from None
    if pairs.is_empty():
        raise UnreadableInput(f"{path}: has columns but no rows; export it again")
    for column, nulls in zip(pairs.columns, pairs.null_count().row(0), strict=True):
        if nulls:
            raise UnreadableInput(f"{path}: {nulls:,} rows have no readable {column}; mend them or leave them out")
    return pairs


def _read_pairs(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise UnreadableInput(f"{path}: no such file; give a parquet file with {c.USER_ID} and {c.ITEM_ID}")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        raise UnreadableInput(f"{path}: is no whole parquet file (damaged, or of another kind)") from None
    missing = [name for name in (c.USER_ID, c.ITEM_ID) if name not in frame.columns]
    if missing:
        raise SchemaMismatch(f"lacks {', '.join(missing)}; have {', '.join(frame.columns)}")
    return frame


def dated(pairs: pl.DataFrame) -> pl.DataFrame:
    """`user_id, item_id, timestamp`; without a `timestamp`, the order of rows is that of time. Raises `SchemaMismatch`
    for columns of another kind."""
    return named(pairs).with_columns(pairs.select(when(pairs).alias(c.TIMESTAMP)))


def named(pairs: pl.DataFrame) -> pl.DataFrame:
    """`user_id, item_id` as text. Raises `SchemaMismatch` for ids of another kind: 1.0 is not the id 1."""
    return pairs.select(_cast(pairs, name, to_text, "text or whole numbers") for name in (c.USER_ID, c.ITEM_ID))


def when(pairs: pl.DataFrame) -> pl.Expr:
    """The instant of each row. Raises `SchemaMismatch` where it cannot be one."""
    if c.TIMESTAMP not in pairs.columns:
        return pl.lit(EPOCH) + pl.duration(seconds=pl.int_range(pl.len()))
    if _is_counter(pairs[c.TIMESTAMP]):
        steps = pl.lit(_without_nan(pairs[c.TIMESTAMP]))
        return pl.lit(EPOCH) + pl.duration(seconds=steps)
    return _cast(pairs, c.TIMESTAMP, to_instant, "instants or Unix time")


def _is_counter(times: pl.Series) -> bool:
    """Whether a column counts steps: numbers that are too small for Unix time have an order, and no date."""
    numbers = times.dtype.is_integer() or times.dtype.is_float()
    return numbers and bool((_without_nan(times).abs() < FIRST_UNIX_TIME).all())


def _without_nan(times: pl.Series) -> pl.Series:
    return times.fill_nan(None) if times.dtype.is_float() else times


def _cast(pairs: pl.DataFrame, name: str, cast: Cast, kind: str) -> pl.Expr:
    column = cast(name, pairs.schema[name])
    if column is None:
        raise SchemaMismatch(f"{name}: want {kind}, have {pairs.schema[name]}; cast it")
    return column.alias(name)


def coded(pairs: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """Distinct pairs as rows `user, item` of the ids; those of other users or items are left out."""
    rows = with_rows(pairs, user_ids, item_ids)
    return rows.select(pl.col("user", "item").cast(pl.Int32)).unique().sort("user", "item")


def with_rows(pairs: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """The pairs of these ids, with the places of both ids as `user` and `item`."""
    users = pl.DataFrame({c.USER_ID: user_ids}).with_row_index("user")
    items = pl.DataFrame({c.ITEM_ID: item_ids}).with_row_index("item")
    return pairs.join(users, on=c.USER_ID).join(items, on=c.ITEM_ID)


def labels_of(test: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> Labels:
    """The test items of each user; those that `item_ids` lack get rows beyond them, which no list can hold."""
    everything = pl.concat([item_ids, test[c.ITEM_ID]]).unique(maintain_order=True)
    pairs = coded(test, user_ids, everything)
    sets = item_sets(pairs["user"].to_numpy(), pairs["item"].to_numpy(), len(user_ids))
    return Labels(sets.offsets, sets.item_rows, np.ones(len(sets.item_rows), np.float32))


@dataclass(frozen=True)
class InteractionMatrix:
    """The pairs of user and item in training, 1 or 0, with one empty row at the end for unknown users."""

    user_ids: pl.Series  # [U], sorted
    item_ids: pl.Series  # [I], sorted
    matrix: csr_matrix  # [U + 1, I]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """[I] how many users liked each item."""
        return np.bincount(self.matrix.indices, minlength=len(self.item_ids))

    def rows_of(self, user_ids: pl.Series) -> Rows:
        """The row of each user; unknown ones share the empty row."""
        rows = pl.DataFrame({c.USER_ID: self.user_ids}).with_row_index("user")
        users = pl.DataFrame({c.USER_ID: user_ids}).join(rows, on=c.USER_ID, how="left", maintain_order="left")
        return users["user"].fill_null(len(self.user_ids)).cast(pl.Int32).to_numpy()


def interaction_matrix(pairs: pl.DataFrame) -> InteractionMatrix:
    """The pairs as a matrix; a pair that comes twice counts once."""
    user_ids, item_ids = pairs[c.USER_ID].unique().sort(), pairs[c.ITEM_ID].unique().sort()
    rows = coded(pairs, user_ids, item_ids)
    ones = np.ones(rows.height, dtype=np.float32)
    places = (rows["user"].to_numpy(), rows["item"].to_numpy())
    return InteractionMatrix(user_ids, item_ids, csr_matrix((ones, places), shape=(len(user_ids) + 1, len(item_ids))))
