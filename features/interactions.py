"""Events become interactions: all that happened between one user and one item, and how strongly it still speaks."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, INTERACTIONS
from features.conform import conform
from features.event_filters import is_action
from features.time_cutoffs import before_cuts, hours_between

_UNIT = 2**40
"""Strengths are summed in whole multiples of 1 / _UNIT (1e-12): a sum of doubles depends on the order in which tasks
end, and the same night twice would differ in its last bits. Room for 8 million fresh events of one user and item."""


def interactions(events: DataFrame, cuts: Sequence[datetime], *, half_life_days: float) -> DataFrame:
    """One row a cut, user and item. A strength is the sum of `0.5 ** (days before cut / half_life_days)`.

    Halving is memoryless: the strength at a later cut is that at an earlier one, decayed by the days between, plus what
    happened since. So yesterday's table and a day of events give today's. Takes events or sessions.
    """
    decayed = decay(F.col(c.TIMESTAMP), F.col(c.CUT), half_life_days)
    # moved before each event is repeated for its cuts: what follows stays where it is
    pairs = conform(events, EVENTS).repartition(c.USER_ID, c.ITEM_ID)
    return conform(
        before_cuts(pairs, cuts)
        .groupBy(c.CUT, c.USER_ID, c.ITEM_ID)
        .agg(
            *(F.count_if(is_action(action)).alias(f"{action}s") for action in Action),
            _strength(decayed, Action.CLICK),
            _strength(decayed, Action.SAVE),
            F.min(c.TIMESTAMP).alias("first_at"),
            F.max(c.TIMESTAMP).alias("last_at"),
        ),
        INTERACTIONS,
    )


def decay(timestamp: Column, cut: Column, half_life_days: float) -> Column:
    """What an event still weighs at `cut`: 1 at once, one half after `half_life_days`."""
    return F.pow(F.lit(0.5), hours_between(timestamp, cut) / (24 * half_life_days))


def _strength(decayed: Column, action: Action) -> Column:
    units = F.sum(F.when(is_action(action), F.rint(decayed * _UNIT).cast("bigint")).otherwise(0))
    return (units / _UNIT).alias(f"{action}_strength")
