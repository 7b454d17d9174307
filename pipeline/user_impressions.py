"""What each user was shown and left alone as of a cutoff: for fatigue, and for features of the re-ranker."""

from datetime import datetime

import numpy as np
import polars as pl

from contracts import Flag, SubjectType
from contracts import columns as c
from contracts.opt_out_flags import UNREADABLE, opted_out
from pipeline.feature_assembly import at_cutoff, hours_of, interactions_at, rows_of
from pipeline.run_context import RunContext
from ranking.fatigue import UserImpressions
from ranking.feature_arrays import Floats, Ids

MOST_ITEMS = 100
"""Items of one user in a release: those shown most often, and of these the last ones. A million users take 800 MB."""


SMOOTHING = 20
"""Users that an item begins with, who click as often as the mean of all items."""


def user_impressions(night: RunContext, user_ids: Ids, item_ids: Ids, cutoff: datetime) -> UserImpressions | None:
    """The impressions without an interaction as of a cutoff; `None` where there are none before it."""
    known = known_impressions(night, user_ids, item_ids, cutoff)
    return known if len(known.items) else None


def known_impressions(night: RunContext, user_ids: Ids, item_ids: Ids, cutoff: datetime) -> UserImpressions:
    """The impressions of 28 days without an interaction as of a cutoff, and the click rates of the items.

    An item that a user was not shown for so long is as new to them.
    """
    was_shown = pl.col("impressions_28d") > 0
    was_left_alone = (pl.sum_horizontal("clicks", "saves") == 0) & pl.col("hidden").not_()
    columns = (c.USER_ID, c.ITEM_ID, "impressions_28d", "last_impression_at")
    pairs = interactions_at(night, cutoff).filter(was_shown & was_left_alone).select(columns).collect()
    pairs = (
        pairs.with_columns(user=rows_of(pairs[c.USER_ID], user_ids), item=rows_of(pairs[c.ITEM_ID], item_ids))
        .drop_nulls(["user", "item"])
        .sort("user", "impressions_28d", "last_impression_at", "item", descending=[False, True, True, False])
        .group_by("user", maintain_order=True)
        .head(MOST_ITEMS)
    )
    return UserImpressions(
        offsets=np.searchsorted(pairs["user"].to_numpy(), np.arange(len(user_ids) + 1)),
        items=pairs["item"].to_numpy(),
        counts=pairs["impressions_28d"].clip(upper_bound=np.iinfo(np.int32).max).cast(pl.Int32).to_numpy(),
        hours=hours_of(pairs["last_impression_at"]),
        click_rates=click_rates(night, item_ids, cutoff),
    )


def click_rates(night: RunContext, item_ids: Ids, cutoff: datetime) -> Floats:
    """[I] the share of users who clicked or saved an item among those that it was shown to before a cutoff, smoothed.

    Users who opted out of training do not count.
    """
    untrainable = list(opted_out(night.opt_outs, SubjectType.USER, (*UNREADABLE, Flag.TRAINING)))
    counts_here = (pl.col("impressions") > 0) & ~pl.col(c.USER_ID).is_in(untrainable)
    clicked = (pl.sum_horizontal("clicks", "saves") > 0).cast(pl.Float64)
    of_items = (
        at_cutoff(night, "interactions", cutoff)
        .filter(counts_here)
        .group_by(c.ITEM_ID)
        .agg(pl.len().cast(pl.Float64).alias("users"), clicked.sum().alias("clicked"))
        .collect()
    )
    mean = float(of_items["clicked"].sum()) / max(float(of_items["users"].sum()), 1.0)
    every = pl.DataFrame({c.ITEM_ID: pl.Series(item_ids, dtype=pl.String)})
    found = every.join(of_items, on=c.ITEM_ID, how="left", maintain_order="left").fill_null(0.0)
    rates = (found["clicked"] + SMOOTHING * mean) / (found["users"] + SMOOTHING)
    return rates.cast(pl.Float32).to_numpy()
