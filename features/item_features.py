"""Features of items and their creators, from users who did not opt out of training.

Rates use additive smoothing: `PRIOR_EVENTS` pseudo-events at the average rate are added, so that an item with one save
and one click does not get an extreme rate.
"""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, ITEM_FEATURES, ITEMS, WINDOWS_DAYS, WINDOWS_HOURS
from features.event_filters import is_action, is_positive, without_users
from features.spark_session import conform
from features.time_cutoffs import before_cutoffs, hours_between, items_at_cutoffs, recent_counts, within_hours

PRIOR_EVENTS = 10
"""Pseudo-counts of clicks and saves in a smoothed save rate."""
TREND_PRIOR = 1
"""Pseudo-counts of clicks and saves per day in `trend`."""

_WINDOWS = (*(f"_{days}d" for days in WINDOWS_DAYS), "")
_COUNTS = tuple(f"{name}{window}" for name in ("clicks", "saves") for window in _WINDOWS)
_LATELY = {f"users_{days}d": 24 * days for days in WINDOWS_DAYS} | {f"users_{hours}h": hours for hours in WINDOWS_HOURS}
"""Counts of users, and the length of their window before the cutoff in hours."""
_USERS = (*_LATELY, "users")


def item_features(
    events: DataFrame, items: DataFrame, cutoffs: Sequence[datetime], *, opted_out_of_training: DataFrame
) -> DataFrame:
    """One row per cutoff and item that exists then: created before (or at an unknown time), not removed yet.

    All users share these values, so users who opted out of training do not contribute. Takes events or sessions.
    """
    positives = without_users(conform(events, EVENTS), opted_out_of_training).where(is_positive())
    # repartitioned before events are repeated for their cutoffs; by user too, because an item can have very many events
    events_at_cutoffs = before_cutoffs(positives.repartition(c.ITEM_ID, c.USER_ID), cutoffs)
    published = items_at_cutoffs(
        conform(items, ITEMS).select(c.ITEM_ID, c.CREATOR_ID, c.CREATED_AT, c.REMOVED_AT), cutoffs
    )
    counted = published.join(_item_counts(events_at_cutoffs), [c.CUT, c.ITEM_ID], "left").fillna(0, [*_COUNTS, *_USERS])
    priors = counted.join(F.broadcast(_average_rate(events_at_cutoffs)), c.CUT, "left").fillna(0.0, ["average_rate"])
    return conform(_with_rates(_with_creator(priors)).where(_not_removed()), ITEM_FEATURES)


def _item_counts(events: DataFrame) -> DataFrame:
    """One row per cutoff and item. Counting users by their last event needs no distinct count per window."""
    by_user = events.groupBy(c.CUT, c.ITEM_ID, c.USER_ID).agg(
        *(column for action in (Action.CLICK, Action.SAVE) for column in _action_counts(action)),
        F.max(c.TIMESTAMP).alias("last_at"),
    )
    users = (F.count_if(within_hours(hours, "last_at")).alias(name) for name, hours in _LATELY.items())
    sums = (F.sum(name).alias(name) for name in _COUNTS)
    return by_user.groupBy(c.CUT, c.ITEM_ID).agg(*sums, *users, F.count("*").alias("users"))


def _action_counts(action: Action) -> list[Column]:
    return [*recent_counts(f"{action}s", is_action(action)), F.count_if(is_action(action)).alias(f"{action}s")]


def _average_rate(events: DataFrame) -> DataFrame:
    """One row per cutoff: the share of saves among all clicks and saves before it."""
    return events.groupBy(c.CUT).agg(F.avg(is_action(Action.SAVE).cast("int")).alias("average_rate"))


def _with_creator(items: DataFrame) -> DataFrame:
    """Add the totals of the same creator's other items by the cutoff, removed items included."""
    # an item without creator is a group of its own: one group of all such items would be skewed
    alone = F.when(F.col(c.CREATOR_ID).isNull(), F.col(c.ITEM_ID))
    creator = Window.partitionBy(c.CUT, c.CREATOR_ID, alone)

    def others(name: str) -> Column:
        return F.sum(name).over(creator) - F.col(name)

    return items.withColumns(
        {
            "creator_items": F.count("*").over(creator) - 1,
            "creator_clicks": others("clicks"),
            "creator_saves": others("saves"),
            "creator_users": others("users"),
        }
    )


def _with_rates(items: DataFrame) -> DataFrame:
    rates = {f"save_rate_{days}d": _smoothed(f"clicks_{days}d", f"saves_{days}d") for days in WINDOWS_DAYS}
    return items.withColumns(
        {
            **rates,
            "creator_save_rate": _smoothed("creator_clicks", "creator_saves"),
            "creator_users_per_item": F.coalesce(F.try_divide("creator_users", "creator_items"), F.lit(0.0)),
            "age_hours": hours_between(F.col(c.CREATED_AT), F.col(c.CUT)),
            "trend": (_positives(1) + TREND_PRIOR) / (_positives(7) / 7 + TREND_PRIOR),
        }
    )


def _smoothed(clicks: str, saves: str) -> Column:
    """A save rate, shrunk towards the average where counts are small."""
    prior_saves = F.col("average_rate") * PRIOR_EVENTS
    return (F.col(saves) + prior_saves) / (F.col(clicks) + F.col(saves) + PRIOR_EVENTS)


def _positives(days: int) -> Column:
    return F.col(f"clicks_{days}d") + F.col(f"saves_{days}d")


def _not_removed() -> Column:
    return F.coalesce(F.col(c.REMOVED_AT) > F.col(c.CUT), F.lit(True))
