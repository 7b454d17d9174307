"""Events become interactions: counts and decayed strengths per user and item."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, INTERACTIONS
from features.event_filters import is_action, is_positive
from features.spark_session import conform
from features.time_cutoffs import before_cutoffs, hours_between, within

_UNIT = 2**40
"""Strengths are summed in whole multiples of 1 / _UNIT (1e-12), because a sum of doubles depends on the order in which
tasks end. A sum can hold 8 million fresh events of one user and item."""


def interactions(events: DataFrame, cutoffs: Sequence[datetime], *, half_life_days: float) -> DataFrame:
    """One row per cutoff, user and item. A strength is the sum of `0.5 ** (days before the cutoff / half_life_days)`.

    Exponential decay is memoryless: the strength at a later cutoff is the earlier strength, decayed by the days
    between, plus the new events. So yesterday's table and a day of events give today's; a count of 28 days also needs
    the events of the day that leaves them. Takes events or sessions.
    """
    decayed = decay(F.col(c.TIMESTAMP), F.col(c.CUT), half_life_days)
    # repartitioned before each event is repeated for its cutoffs, so that the steps below need no shuffle
    pairs = conform(events, EVENTS).repartition(c.USER_ID, c.ITEM_ID)
    return conform(
        before_cutoffs(pairs, cutoffs)
        .groupBy(c.CUT, c.USER_ID, c.ITEM_ID)
        .agg(
            *(F.count_if(is_action(action)).alias(f"{action}s") for action in Action),
            F.count_if(is_action(Action.IMPRESSION) & within(28)).alias("impressions_28d"),
            _is_hidden(),
            _strength(decayed, Action.CLICK),
            _strength(decayed, Action.SAVE),
            F.min(c.TIMESTAMP).alias("first_at"),
            F.max(c.TIMESTAMP).alias("last_at"),
            F.max(F.when(is_action(Action.IMPRESSION), F.col(c.TIMESTAMP))).alias("last_impression_at"),
            F.max(F.when(is_positive() | is_action(Action.HIDE), F.col(c.TIMESTAMP))).alias("last_interaction_at"),
        ),
        INTERACTIONS,
    )


def decay(timestamp: Column, cutoff: Column, half_life_days: float) -> Column:
    """The weight of an event at `cutoff`: 1 at first, one half after `half_life_days`."""
    return F.pow(F.lit(0.5), hours_between(timestamp, cutoff) / (24 * half_life_days))


def _is_hidden() -> Column:
    """Whether the last hide is after the last unhide; at one instant the hide was first."""
    hidden_at, unhidden_at = (
        F.max(F.when(is_action(action), F.col(c.TIMESTAMP))) for action in (Action.HIDE, Action.UNHIDE)
    )
    return (hidden_at.isNotNull() & F.coalesce(hidden_at > unhidden_at, F.lit(True))).alias("hidden")


def _strength(decayed: Column, action: Action) -> Column:
    units = F.sum(F.when(is_action(action), F.rint(decayed * _UNIT).cast("bigint")).otherwise(0))
    return (units / _UNIT).alias(f"{action}_strength")
