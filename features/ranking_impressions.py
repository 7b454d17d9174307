"""What the re-ranker learns from impressions: the new items that users were shown after a cutoff, and where."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, EXPOSURES, RANKING_IMPRESSIONS
from features.event_filters import is_action, without_users
from features.ranking_examples import of_new_items
from features.spark_session import conform
from features.time_cutoffs import instant

PAIR = (c.CUT, c.USER_ID, c.ITEM_ID)
PAGE_ITEM = (c.REQUEST_ID, c.ITEM_ID)
LOGGED = pa.schema(
    [EXPOSURES.field(name) for name in ("served_at", c.REQUEST_ID, "user", c.ITEM_ID, "rank", c.PROPENSITY)]
)
"""The columns of the exposure log that are read; files of other versions may lack the others."""


def ranking_impressions(
    events: DataFrame,
    items: DataFrame,
    cutoffs: Sequence[datetime],
    *,
    label_days: int,
    opted_out_of_training: DataFrame,
    exposures: DataFrame | None = None,
) -> DataFrame:
    """One row per cutoff, user and item shown in `[cutoff, cutoff + label_days)`, for items as in `ranking_examples`.

    The exposure log adds positions and propensities to events that name a request, and the impressions that
    `looked_at` finds. Takes events or sessions. No row depends on an event after its label window.
    """
    trainable = without_users(conform(events, EVENTS), opted_out_of_training)
    if exposures is not None:
        trainable = looked_at(trainable, exposures, cutoffs, label_days=label_days)
    kept = is_action(Action.IMPRESSION)
    shown = of_new_items(trainable, items, cutoffs, label_days=label_days, kept=kept)
    return conform(
        shown.groupBy(*PAIR).agg(
            F.count("*").alias("impressions"),
            F.min(F.when(F.col(c.POSITION) >= 0, F.col(c.POSITION))).alias(c.POSITION),
            F.max(_chance()).alias(c.PROPENSITY),
        ),
        RANKING_IMPRESSIONS,
    )


def _chance() -> Column:
    """The probability with which an impression was shown; what is no probability counts as none."""
    given = F.col(c.PROPENSITY)
    return F.when((given > 0) & (given < 1), given).otherwise(1.0)


def looked_at(events: DataFrame, exposures: DataFrame, cutoffs: Sequence[datetime], *, label_days: int) -> DataFrame:
    """The events and the logged items that their users looked at, as impressions.

    Not every item of a page is looked at. A logged item counts where the user has an event on it or on a lower item of
    the same page (Joachims 2002), before the end of the label window that the item was served in. A request id that
    names pages of several users is not used.
    """
    pages = _pages(exposures).withColumn("_end", _window_end(cutoffs, label_days))
    return _with_places(events, pages).unionByName(_unposted(events, pages))


def _window_end(cutoffs: Sequence[datetime], label_days: int) -> Column:
    """The end of the first label window that a page was served in; null where it was in none."""
    served, length = F.col("served_at"), timedelta(days=label_days)
    windows = ((instant(cutoff), instant(cutoff + length)) for cutoff in sorted(cutoffs))
    return F.coalesce(*(F.when((start <= served) & (served < end), end) for start, end in windows))


def _with_places(events: DataFrame, pages: DataFrame) -> DataFrame:
    """The events; those on a logged item get its position and propensity, unless they have their own."""
    logged = {
        c.POSITION: F.coalesce(F.col(c.POSITION), F.col("_rank") - 1),
        c.PROPENSITY: F.coalesce(F.col(c.PROPENSITY), F.col("_propensity")),
    }
    return events.join(pages, [*PAGE_ITEM], "left").withColumns(logged).select(*EVENTS.names)


def _unposted(events: DataFrame, pages: DataFrame) -> DataFrame:
    """The logged items that a user looked at and of which no impression was posted, as impressions."""
    posted = _first_impression(events)
    above = pages.join(_lowest_event(events, pages), [c.REQUEST_ID, "_end"]).where(F.col("_rank") <= F.col("_lowest"))
    is_posted = F.coalesce(F.col("_posted_at") < F.col("_end"), F.lit(False))
    return (
        above.join(posted, [*PAGE_ITEM], "left")
        .where(~is_posted)
        .select(
            F.concat_ws("/", F.lit("exposure"), *PAGE_ITEM).alias(c.EVENT_ID),
            c.USER_ID,
            c.ITEM_ID,
            F.lit(Action.IMPRESSION.value).alias(c.ACTION),
            F.col("served_at").alias(c.TIMESTAMP),
            F.lit(None).cast("string").alias(c.SESSION_ID),
            c.REQUEST_ID,
            (F.col("_rank") - 1).alias(c.POSITION),
            F.col("_propensity").alias(c.PROPENSITY),
        )
    )


def _first_impression(events: DataFrame) -> DataFrame:
    """One row for each request and item: when the first impression of it was posted."""
    posted = events.where(is_action(Action.IMPRESSION))
    return posted.groupBy(*PAGE_ITEM).agg(F.min(c.TIMESTAMP).alias("_posted_at"))


def _lowest_event(events: DataFrame, pages: DataFrame) -> DataFrame:
    """One row for each request of one user and end of a label window: the user, and the rank of the lowest item that
    has an event before that end."""
    ends = pages.select(c.REQUEST_ID, "_end").distinct()
    return (
        events.join(pages.drop("_end"), [*PAGE_ITEM])
        .join(ends, c.REQUEST_ID)
        .where(F.col(c.TIMESTAMP) < F.col("_end"))
        .groupBy(c.REQUEST_ID, "_end")
        .agg(F.min(c.USER_ID).alias(c.USER_ID), F.max(c.USER_ID).alias("_other"), F.max("_rank").alias("_lowest"))
        .where(F.col(c.USER_ID) == F.col("_other"))
    )


def _pages(exposures: DataFrame) -> DataFrame:
    """One row for each request and item of the log."""
    logged = conform(exposures, LOGGED).where(F.col(c.REQUEST_ID).isNotNull())
    one_user = logged.groupBy(c.REQUEST_ID).agg(F.count_distinct("user").alias("_users")).where(F.col("_users") == 1)
    return (
        logged.join(one_user, c.REQUEST_ID, "left_semi")
        .groupBy(*PAGE_ITEM)
        .agg(
            F.min("rank").alias("_rank"),
            F.max(F.col(c.PROPENSITY).cast("double")).alias("_propensity"),
            F.min("served_at").alias("served_at"),
        )
    )
