"""Timestamps for events of which only each user's order is known."""

from datetime import UTC, datetime, timedelta

import polars as pl

from contracts import columns as c

ORDER = "time_pos"
"""A user's n-th event, from 1 on; null where even that is not known."""

START = datetime(2000, 1, 1, tzinfo=UTC)
SPAN = timedelta(weeks=52)
ORDER_NOTE = (
    "only each user's order is known: timestamps are made up, strictly increasing for each user and spread evenly "
    f"over {START:%Y-%m-%d} to {START + SPAN:%Y-%m-%d}; rows without an order come first; times of day, sessions and "
    "who came before whom mean nothing"
)


def with_synthetic_time(ordered: pl.DataFrame) -> pl.DataFrame:
    """`timestamp` in the order of `time_pos` for each user, everyone's events spread over the same 52 weeks.

    Over a common span a cut in time takes the same share of everyone's history, so that a holdout of the last days
    is the last events of each user, as the leave-one-out protocols mean it. Rows without an order come first, by
    item, where they leave the last ones alone.
    """
    rows = ordered.sort(c.USER_ID, ORDER, c.ITEM_ID, nulls_last=False)
    place = (pl.int_range(pl.len()) + 0.5).over(c.USER_ID) / pl.len().over(c.USER_ID)
    microseconds = (place * (SPAN / timedelta(microseconds=1))).cast(pl.Int64)
    return rows.with_columns(
        (pl.lit(START, pl.Datetime("us", "UTC")) + pl.duration(microseconds=microseconds)).alias(c.TIMESTAMP)
    )
