"""Public data sets, split by their published protocols, from a folder that the reader has.

They are not part of the project, because the terms of most forbid it. Deskdrop is: it is bundled in `data`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.interaction_matrix import dated, named
from contracts import Action
from contracts import columns as c
from contracts.errors import DataMissing
from evaluation.splits import RowSplit, leave_one_out, random_out

WEEK = timedelta(days=7)
IS_TEST, TIME_POS = "is_test", "time_pos"
LEAST_SAVES = 5
INTERACTIONS, EVENTS = "interactions.parquet", "events.parquet"


@dataclass(frozen=True)
class Split:
    """Rows `user_id, item_id` as text; where `ordered`, training rows have a `timestamp` and are oldest first."""

    name: str
    train: pl.DataFrame
    """Everything before the test, the validation's rows too: what the final fit learns from."""
    validation_train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    ordered: bool
    k: int
    """The depth at which the published figures are."""
    protocol: str

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows, sorted."""
        return self.train[c.ITEM_ID].unique().sort()

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of everything."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        users = pl.concat([self.train[c.USER_ID], self.test[c.USER_ID]]).n_unique()
        return {name: part.height for name, part in parts.items()} | {"users": users, "items": len(self.item_ids)}


def load(data: Path, name: str, *, seed: int) -> Split:
    """The split of a data set in `data/<name>`. Raises `DataMissing`."""
    if name not in LOADERS:
        raise DataMissing(f"{name}: no such data set; choose one of {', '.join(LOADERS)}")
    file, split = LOADERS[name]
    path = data / name / file
    if not path.exists():
        raise DataMissing(f"{path}: no such file; skipped, give the folder that holds {name}/ with --data")
    return split(pl.read_parquet(path), seed)


def gowalla(interactions: pl.DataFrame, seed: int) -> Split:
    """Check-ins in the split of NGCF and LightGCN (Wang et al. 2019, doi:10.1145/3331184.3331267), without any time.

    The file is sorted by user, which is no order in time, so rows are shuffled.
    """
    order = np.random.default_rng(seed).permutation(interactions.height)
    shuffled = interactions[order]
    train, test = (_pairs(shuffled.filter(pl.col(IS_TEST) == held_out)) for held_out in (False, True))
    return _split(
        "gowalla", RowSplit(train, test), random_out(train, share=0.1, seed=seed), GOWALLA, k=20, ordered=False
    )


def citeulike_t(interactions: pl.DataFrame, seed: int) -> Split:
    """Saves in a library of papers (Wang et al. 2013), a random fifth of each user with five or more saves held out.

    The file is sorted by item within each user, which is no order in time, so rows are shuffled.
    """
    shuffled = interactions[np.random.default_rng(seed).permutation(interactions.height)]
    nth = pl.int_range(pl.len()).over(c.USER_ID)
    held_out = (pl.len().over(c.USER_ID) >= LEAST_SAVES) & (nth < (pl.len().over(c.USER_ID) // LEAST_SAVES))
    train, test = _pairs(shuffled.filter(~held_out)), _pairs(shuffled.filter(held_out))
    return _split(
        "citeulike-t", RowSplit(train, test), random_out(train, share=0.1, seed=seed), CITEULIKE_T, k=20, ordered=False
    )


def amazon_beauty(interactions: pl.DataFrame, seed: int) -> Split:
    """Amazon Beauty, 5-core, as S3-Rec prepared it (Zhou et al. 2020, doi:10.1145/3340531.3411954): last row out."""
    del seed  # nothing random
    return _split("amazon-beauty", *leave_one_out(_by_place(interactions)), AMAZON_BEAUTY, k=10, ordered=True)


def ml_1m(interactions: pl.DataFrame, seed: int) -> Split:
    """MovieLens-1M (Harper & Konstan 2015, doi:10.1145/2827872), every rating a like, last rating of each user out.

    Rows without `time_pos` are of items rated fewer than five times, which the published figures leave out as well.
    Time is known within a user alone. So rows are ordered by their place in the user's own history: the last tenth of
    all rows is about the last tenth of every user.
    """
    del seed  # nothing random
    return _split("ml-1m", *leave_one_out(_by_place(interactions)), ML_1M, k=10, ordered=True)


def _by_place(interactions: pl.DataFrame) -> pl.DataFrame:
    """Rows by their place in the user's own history, 0 to 1: time is known within a user alone."""
    place = pl.col(TIME_POS) / pl.len().over(c.USER_ID)
    return _pairs(interactions.drop_nulls(TIME_POS).with_columns(place=place).sort("place", c.USER_ID, TIME_POS))


def deskdrop(events: pl.DataFrame, seed: int) -> Split:
    """The bundled feed (`data/deskdrop`): first clicks and saves of the last week, and of the week before.

    A news feed's new articles have no training row, so bare pairs cannot represent them. They are left out, and so are
    users without a training row.
    """
    del seed  # nothing random
    liked = events.filter(pl.col(c.ACTION).is_in([Action.CLICK, Action.SAVE])).sort(c.TIMESTAMP, c.USER_ID, c.ITEM_ID)
    first = liked.unique([c.USER_ID, c.ITEM_ID], keep="first", maintain_order=True)
    end = first.select(pl.col(c.TIMESTAMP).max().dt.truncate("1d").dt.offset_by("1d")).item()
    test, validation = (_last_week(first.filter(pl.col(c.TIMESTAMP) < each), each) for each in (end, end - WEEK))
    return _split("deskdrop", test, validation, DESKDROP, k=20, ordered=True)


def _last_week(ordered: pl.DataFrame, end: datetime) -> RowSplit:
    """The week before `end` held out, without users and items that the rows before it lack."""
    train = ordered.filter(pl.col(c.TIMESTAMP) < end - WEEK)
    later = ordered.filter(pl.col(c.TIMESTAMP) >= end - WEEK)
    for column in (c.USER_ID, c.ITEM_ID):
        later = later.join(train, on=column, how="semi", maintain_order="left")
    return RowSplit(dated(train), named(later))


def _split(name: str, test: RowSplit, validation: RowSplit, protocol: str, *, k: int, ordered: bool) -> Split:
    train, validation_train = ((dated if ordered else named)(each.train) for each in (test, validation))
    validation_rows, test_rows = named(validation.held_out), named(test.held_out)
    return Split(name, train, validation_train, validation_rows, test_rows, ordered=ordered, k=k, protocol=protocol)


def _pairs(interactions: pl.DataFrame) -> pl.DataFrame:
    return interactions.select(pl.col(c.USER_ID, c.ITEM_ID).cast(pl.String))


GOWALLA = (
    "full ranking with training items masked, on the published test rows; validation is a seeded random tenth of train"
)
ML_1M = (
    "leave-one-out by each user's own order: last rating is the test, second last the validation, full ranking with "
    "training items masked; the final fit is given the validation rating too"
)
CITEULIKE_T = (
    "a seeded random fifth of each user with five or more saves is the test, full ranking with training items masked; "
    "validation is a seeded random tenth of train"
)
AMAZON_BEAUTY = (
    "leave-one-out by each user's own order: last row is the test, second last the validation, full ranking with "
    "training items masked; the final fit is given the validation row too"
)
DESKDROP = (
    "the last week of users and items with training rows, by time; validation is the week before, full ranking with "
    "training items masked"
)
LOADERS: dict[str, tuple[str, Callable[[pl.DataFrame, int], Split]]] = {
    "gowalla": (INTERACTIONS, gowalla),
    "ml-1m": (INTERACTIONS, ml_1m),
    "citeulike-t": (INTERACTIONS, citeulike_t),
    "amazon-beauty": (INTERACTIONS, amazon_beauty),
    "deskdrop": (EVENTS, deskdrop),
}
