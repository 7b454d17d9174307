"""Features of users: their activity, and the kinds of items they click or save."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import ITEMS, SESSIONS, USER_FEATURES, WINDOWS_DAYS
from features.event_filters import is_action, is_positive
from features.spark_session import conform
from features.time_cutoffs import before_cutoffs, hours_between, recent_counts, within

SESSION_WINDOW_DAYS = 28
"""The window of `sessions_28d`."""

_WINDOWS = (*(f"_{days}d" for days in WINDOWS_DAYS), "")
_COUNTS = tuple(f"{name}{window}" for name in ("clicks", "saves") for window in _WINDOWS)


def user_features(sessions: DataFrame, items: DataFrame, cutoffs: Sequence[datetime]) -> DataFrame:
    """One row per cutoff and user with any event before it.

    Preferences (creators, categories, languages, save rate) and recency use clicks and saves alone: a user with only
    impressions has none, and a null recency.
    """
    attributes = conform(items, ITEMS).select(c.ITEM_ID, c.CREATOR_ID, c.CATEGORIES, c.LANGUAGE)
    events = conform(sessions, SESSIONS).join(attributes, c.ITEM_ID, "left").repartition(c.USER_ID)
    positives = events.where(is_positive())
    rows = (
        _activity(before_cutoffs(_with_firsts(events), cutoffs))
        .join(_categories(positives, cutoffs), [c.CUT, c.USER_ID], "left")
        .join(_languages(positives, cutoffs), [c.CUT, c.USER_ID], "left")
        .withColumn("categories", F.coalesce("categories", F.lit(0)))
        .withColumn("languages", F.coalesce("languages", F.array()))
    )
    return conform(rows, USER_FEATURES)


def _with_firsts(events: DataFrame) -> DataFrame:
    """Mark the clicks and saves on a creator or item that is new to the user.

    The flags depend on earlier events alone, so they are valid at every cutoff: a distinct count becomes a sum.
    """
    return events.withColumns(
        {"_new_creator": _is_first(c.CREATOR_ID), "_new_in_session": _is_first(c.SESSION_ID, c.ITEM_ID)}
    )


def _is_first(*thing: str) -> Column:
    order = Window.partitionBy(c.USER_ID, *thing).orderBy(~is_positive(), c.TIMESTAMP, c.EVENT_ID)
    return is_positive() & F.col(thing[-1]).isNotNull() & (F.row_number().over(order) == 1)


def _activity(events: DataFrame) -> DataFrame:
    """One row per cutoff and user, aggregated over sessions."""
    sessions = events.groupBy(c.CUT, c.USER_ID, c.SESSION_ID).agg(
        *(column for action in (Action.CLICK, Action.SAVE) for column in _counts(action)),
        F.min(c.TIMESTAMP).alias("first_at"),
        F.max(c.TIMESTAMP).alias("last_at"),
        F.max(F.when(is_positive(), F.col(c.TIMESTAMP))).alias("last_positive_at"),
        F.count_if("_new_in_session").alias("items"),
        F.count_if("_new_creator").alias("creators"),
    )
    clicks, saves = F.sum("clicks"), F.sum("saves")
    return sessions.groupBy(c.CUT, c.USER_ID).agg(
        *(F.sum(name).alias(name) for name in (*_COUNTS, "creators")),
        F.coalesce(F.try_divide(saves, clicks + saves), F.lit(0.0)).alias("save_rate"),
        hours_between(F.max("last_positive_at"), F.col(c.CUT)).alias("recency_hours"),
        F.count_if(within(SESSION_WINDOW_DAYS, "last_at")).alias(f"sessions_{SESSION_WINDOW_DAYS}d"),
        (F.avg(F.unix_micros("last_at") - F.unix_micros("first_at")) / 60_000_000).alias("session_minutes"),
        F.avg("items").alias("session_items"),
    )


def _counts(action: Action) -> list[Column]:
    return [*recent_counts(f"{action}s", is_action(action)), F.count_if(is_action(action)).alias(f"{action}s")]


def _categories(positives: DataFrame, cutoffs: Sequence[datetime]) -> DataFrame:
    """One row per cutoff and user: the number of categories of clicked or saved items."""
    each = positives.select(c.USER_ID, c.TIMESTAMP, F.explode(c.CATEGORIES).alias("category"))
    first_times = each.groupBy(c.USER_ID, "category").agg(F.min(c.TIMESTAMP).alias(c.TIMESTAMP))
    return before_cutoffs(first_times, cutoffs).groupBy(c.CUT, c.USER_ID).agg(F.count("category").alias("categories"))


def _languages(positives: DataFrame, cutoffs: Sequence[datetime]) -> DataFrame:
    """One row per cutoff and user: the languages read, most read first, ties in alphabetical order."""
    read = before_cutoffs(positives.where(F.col(c.LANGUAGE).isNotNull()), cutoffs)
    tally = read.groupBy(c.CUT, c.USER_ID, c.LANGUAGE).agg((-F.count("*")).alias("fewer"))
    ranked = F.array_sort(F.collect_list(F.struct("fewer", c.LANGUAGE)))
    return tally.groupBy(c.CUT, c.USER_ID).agg(ranked[c.LANGUAGE].alias("languages"))
