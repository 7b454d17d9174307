"""Per-user metrics without ids, so that two experiments pair up user by user.

One row for each user and week: `week`, `person`, each metric, the user's group in each grouping (`users/history`), and
recall on the labels of each group of items (`items/tail`). The table contains no id. The order of its rows follows from
the ids of all users together, so two experiments on the same evaluation data line up. A reader who lacks some of the
ids cannot compute the order. Groups of fewer than `MIN_USERS` users are merged into `other`.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.errors import BadEvaluationInput
from evaluation.fingerprint import digest
from evaluation.ranking_metrics import recall_at_k
from evaluation.rankings import Floats, Labels, Mask, RankedLists
from evaluation.segment_metrics import OTHER, GroupLabels

WEEK, PERSON = "week", "person"
USERS, ITEMS = "users/", "items/"
MIN_USERS = 5


def week_metrics(
    user_ids: pl.Series,
    per_user: Mapping[str, Floats],
    *,
    users: Mapping[str, GroupLabels],
    items: Mapping[str, Floats],
) -> pl.DataFrame:
    """One week with ids, for `anonymized`: metrics, groups of users, and recall by groups of items, each [U]."""
    groups = {f"{USERS}{name}": pl.Series(words, dtype=pl.String) for name, words in users.items()}
    return pl.DataFrame({PERSON: user_ids, **per_user, **groups, **{f"{ITEMS}{name}": v for name, v in items.items()}})


def anonymized(weeks: list[pl.DataFrame]) -> pl.DataFrame:
    """`week_metrics` of all weeks as one table without ids. Raises `BadEvaluationInput` where there is no week."""
    if not weeks:
        raise BadEvaluationInput("there is no week; give at least one")
    rows = pl.concat([week.select(pl.lit(at, pl.Int32).alias(WEEK), pl.all()) for at, week in enumerate(weeks)])
    groups = pl.col([name for name in rows.columns if name.startswith(USERS)]).fill_null("unknown")
    numbered = rows.with_columns(
        pl.col(PERSON).replace_strict(user_numbers(rows[PERSON]), return_dtype=pl.Int32), groups
    )
    return numbered.with_columns(_merge_small(name) for name in user_group_columns(rows)).sort(WEEK, PERSON)


def user_numbers(user_ids: pl.Series) -> dict[str, int]:
    """The number of each distinct id, in an order that only the ids of all users together determine."""
    ids = user_ids.unique().sort().to_list()
    key = digest(["order", *ids])  # unlike the fingerprint's digest of the ids, this one is published nowhere
    hidden = sorted(ids, key=lambda each: hashlib.sha256(f"{key}{each}".encode()).digest())
    return {each: place for place, each in enumerate(hidden)}


def metric_columns(table: pl.DataFrame) -> list[str]:
    """The metrics of an anonymized table."""
    return [name for name in table.columns if name not in {WEEK, PERSON} and not name.startswith((USERS, ITEMS))]


def user_group_columns(table: pl.DataFrame) -> list[str]:
    """The columns with a group of users."""
    return [name for name in table.columns if name.startswith(USERS)]


def item_group_columns(table: pl.DataFrame) -> list[str]:
    """The columns with recall on a group of items."""
    return [name for name in table.columns if name.startswith(ITEMS)]


def recall_by_item_group(lists: RankedLists, labels: Labels, groups: Mapping[str, Mask], k: int) -> dict[str, Floats]:
    """[U] recall at `k` on the labels of each group of items [I] alone; NaN for a user without any."""
    return {name: recall_at_k(lists, labels.only(mask), k) for name, mask in groups.items()}


def history_labels(interactions: NDArray[np.int64]) -> GroupLabels:
    """[U] `new` without an interaction in training, `light` up to the median of the others, `heavy` above it."""
    positive = interactions[interactions > 0]
    middle = np.median(positive) if len(positive) else 0
    return np.where(interactions == 0, "new", np.where(interactions <= middle, "light", "heavy"))


def _merge_small(name: str) -> pl.Expr:
    return pl.when(pl.col(PERSON).n_unique().over(name) < MIN_USERS).then(pl.lit(OTHER)).otherwise(name).alias(name)
