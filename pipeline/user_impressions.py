"""What each user of a release was shown and left alone: the night's part of an item's fatigue."""

from datetime import timedelta

import numpy as np
import polars as pl

from contracts import columns as c
from pipeline.feature_assembly import at_cutoff, rows_of
from pipeline.run_context import RunContext
from ranking.fatigue import UserImpressions
from ranking.feature_arrays import Ids

REMEMBERED_DAYS = 28
"""An item that a user was not shown for so long is as new to them."""
MOST_ITEMS = 100
"""Items of one user in a release: those shown most often, and of these the last ones. A million users take 800 MB."""


def user_impressions(night: RunContext, user_ids: Ids, item_ids: Ids) -> UserImpressions | None:
    """The impressions without an interaction as of the night's end; `None` where its events have none."""
    end = night.splits.end
    was_shown = (pl.col("impressions") > 0) & (pl.col("last_at") >= end - timedelta(days=REMEMBERED_DAYS))
    was_left_alone = (pl.sum_horizontal("clicks", "saves") == 0) & pl.col("hidden").not_()
    columns = (c.USER_ID, c.ITEM_ID, "impressions", "last_at")
    pairs = at_cutoff(night, "interactions", end).filter(was_shown & was_left_alone).select(columns).collect()
    pairs = (
        pairs.with_columns(user=rows_of(pairs[c.USER_ID], user_ids), item=rows_of(pairs[c.ITEM_ID], item_ids))
        .drop_nulls(["user", "item"])
        .sort("user", "impressions", "last_at", "item", descending=[False, True, True, False])
        .group_by("user", maintain_order=True)
        .head(MOST_ITEMS)
    )
    if pairs.is_empty():
        return None
    return UserImpressions(
        offsets=np.searchsorted(pairs["user"].to_numpy(), np.arange(len(user_ids) + 1)),
        items=pairs["item"].to_numpy(),
        counts=pairs["impressions"].clip(upper_bound=np.iinfo(np.int32).max).cast(pl.Int32).to_numpy(),
    )
