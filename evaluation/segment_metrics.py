"""Metrics by segment of users and by group of items.

Shapes: U measured users, I items, N events.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evaluation.ranking_metrics import mean, recall_at_k
from evaluation.rankings import Floats, Labels, Mask, RankedLists
from evaluation.splits import Catalogue, Holdout, instant

GroupLabels = NDArray[np.object_]
"""Python text, because in fixed-width text one long region makes all as long."""

MIN_SEGMENT_USERS = 5
"""Users that a reported group needs."""
UNKNOWN = "unknown"
OTHER = "other"
"""The group of all small groups: a mean of three users is noise, and may reveal one of them."""


def segment_table(
    per_user: Mapping[str, Floats], slices: Mapping[str, GroupLabels], *, min_users: int = MIN_SEGMENT_USERS
) -> pl.DataFrame:
    """One row a slice and group: `slice, group, users`, and the mean of every metric.

    `per_user` holds metrics [U], `slices` the group of each user [U] by the slice's name. Users whose metric is NaN
    are left out of that mean. Small groups are merged, and hidden where all of
    them together are small too.
    """
    values = pl.DataFrame({name: pl.Series(metric).fill_nan(None) for name, metric in per_user.items()})
    tables = [
        _one_slice(values, name, fold_small_groups(groups, min_users), min_users) for name, groups in slices.items()
    ]
    empty = pl.DataFrame(schema={"slice": pl.String, "group": pl.String, "users": pl.UInt32, **values.schema})
    return pl.concat([empty, *tables])


def pool_small_groups(groups: GroupLabels, min_users: int) -> GroupLabels:
    """The groups [U] with those below `min_users` together as `other`, and the unknown named."""
    named = [UNKNOWN if group is None else str(group) for group in groups]
    small = {name for name, users in Counter(named).items() if users < min_users}
    return np.array([OTHER if name in small else name for name in named], dtype=object)


def fold_small_groups(groups: GroupLabels, min_users: int) -> GroupLabels:
    """The groups [U], merged so that a table of them reveals no single user.

    A hidden group could be computed from the mean of all users and the groups shown. So while `other` is small itself,
    the smallest remaining group joins it.
    """
    merged = pool_small_groups(groups, min_users)
    sizes = group_sizes(merged)
    while 0 < sizes.get(OTHER, 0) < min_users and len(sizes) > 1:
        smallest = min(sizes.keys() - {OTHER}, key=lambda name: (sizes[name], name))
        merged = np.where(merged == smallest, OTHER, merged)
        sizes = group_sizes(merged)
    return merged


def group_sizes(groups: GroupLabels) -> dict[str, int]:
    """How many users each group has, by name."""
    names, sizes = np.unique(groups, return_counts=True)
    return dict(zip(names.tolist(), sizes.tolist(), strict=True))


def _one_slice(values: pl.DataFrame, name: str, groups: GroupLabels, min_users: int) -> pl.DataFrame:
    return (
        values.with_columns(group=pl.Series(groups, dtype=pl.String))
        .group_by("group")
        .agg(pl.len().cast(pl.UInt32).alias("users"), pl.col(values.columns).mean())
        .filter(pl.col("users") >= min_users)
        .sort("users", "group", descending=[True, False])
        .select(pl.lit(name).alias("slice"), "group", "users", *values.columns)
    )


def activity_segments(holdout: Holdout, *, new_days: int = 28, light_below: int = 10) -> dict[str, GroupLabels]:
    """The holdout's users [U] by tenure (`new`: first event in the `new_days` before the cutoff) and by history
    (`light`: fewer than `light_below` distinct items)."""
    history = holdout.history
    recent = history.timestamps >= instant(holdout.cutoff - timedelta(days=new_days))
    old = np.bincount(history.user_rows[~recent], minlength=history.user_count) > 0
    heavy = history.interacted.counts >= light_below
    return {
        "tenure": np.where(old[holdout.user_rows], "known", "new"),
        "history": np.where(heavy[holdout.user_rows], "heavy", "light"),
    }


def item_groups(holdout: Holdout, catalogue: Catalogue, *, new_days: int = 7, head: float = 0.2) -> dict[str, Mask]:
    """Parts of the rankable items, as masks [I]: created in the `new_days` before the cutoff or older; among the `head`
    share with most clicks and saves so far, or in the tail."""
    new = _created_since(catalogue, holdout.cutoff - timedelta(days=new_days)) & holdout.rankable
    liked = holdout.history.item_rows[holdout.history.gains > 0]
    rest = holdout.rankable
    popular = popular_items(np.where(rest, np.bincount(liked, minlength=len(new)), -1), head)
    return {"new": new, "older": rest & ~new, "popular": popular, "tail": rest & ~popular}


def popular_items(counts: NDArray[np.int64], head: float = 0.2) -> Mask:
    """[I] the `head` share of items with the highest counts; a count below zero excludes the item."""
    popular = np.zeros(len(counts), dtype=bool)
    popular[np.argsort(-counts, kind="stable")[: int(np.ceil(head * (counts >= 0).sum()))]] = True
    return popular


def item_table(
    lists: RankedLists, labels: Labels, groups: Mapping[str, Mask], k: int, *, min_users: int = MIN_SEGMENT_USERS
) -> pl.DataFrame:
    """One row a group of items: `group, labels, users`, and recall at `k` on the labels of that group alone.

    Groups in which fewer than `min_users` users have labels are left out.
    """
    parts = {name: labels.only(mask) for name, mask in groups.items()}
    parts = {name: part for name, part in parts.items() if (part.counts > 0).sum() >= min_users}
    rows = [
        (name, len(part.item_rows), (part.counts > 0).sum(), mean(recall_at_k(lists, part, k)))
        for name, part in parts.items()
    ]
    schema = {"group": pl.String, "labels": pl.Int64, "users": pl.UInt32, f"recall_at_{k}": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _created_since(catalogue: Catalogue, start: datetime) -> Mask:
    since: Mask = catalogue.created_at >= instant(start)  # NaT is never since
    return since
