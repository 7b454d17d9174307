"""Training examples of retrieval: each user's clicks and saves in order."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, RETRIEVAL_EXAMPLES
from features.event_filters import OPTED_OUT_USERS, is_action, is_positive
from features.spark_session import conform
from features.time_cutoffs import before_cutoffs

_RUN = "_run"
_SAVED_AT = "_saved_at"


def retrieval_examples(
    events: DataFrame, cutoffs: Sequence[datetime], *, opted_out_of_training: DataFrame
) -> DataFrame:
    """One row per cutoff and user with a click or save before it: three arrays of one length, oldest first.

    Consecutive events on one item are one element: its strongest action before the cutoff, at the instant of the first.
    `trainable` is false for users who opted out of training. Takes events or sessions.
    """
    histories = _histories(_with_run(conform(events, EVENTS).where(is_positive())))
    seen = before_cutoffs(_with_trainable(histories, opted_out_of_training), cutoffs)
    steps = F.filter("steps", lambda step: step[c.TIMESTAMP] < F.col(c.CUT))
    examples = seen.withColumn("steps", steps).select(
        c.CUT,
        c.USER_ID,
        F.col(f"steps.{c.ITEM_ID}").alias("item_ids"),
        F.transform("steps", _action_by_cutoff).alias("actions"),
        F.col(f"steps.{c.TIMESTAMP}").alias("timestamps"),
        "trainable",
    )
    return conform(examples, RETRIEVAL_EXAMPLES)


def _with_run(positives: DataFrame) -> DataFrame:
    """Number each user's runs of one item. The number depends on earlier events alone, so it holds at every cutoff."""
    order = Window.partitionBy(c.USER_ID).orderBy(c.TIMESTAMP, c.EVENT_ID)
    before = F.lag(c.ITEM_ID).over(order)
    moved = (before.isNull() | (before != F.col(c.ITEM_ID))).cast("int")
    return positives.withColumn("_moved", moved).withColumn(_RUN, F.sum("_moved").over(order))


def _histories(positives: DataFrame) -> DataFrame:
    """One row per user: the whole history, of which each cutoff uses a prefix. `timestamp` is the first."""
    runs = positives.groupBy(c.USER_ID, _RUN).agg(
        F.any_value(c.ITEM_ID).alias(c.ITEM_ID),
        F.min(c.TIMESTAMP).alias(c.TIMESTAMP),
        F.min(F.when(is_action(Action.SAVE), F.col(c.TIMESTAMP))).alias(_SAVED_AT),
    )
    steps = F.array_sort(F.collect_list(F.struct(_RUN, c.ITEM_ID, c.TIMESTAMP, _SAVED_AT)))
    return runs.groupBy(c.USER_ID).agg(steps.alias("steps"), F.min(c.TIMESTAMP).alias(c.TIMESTAMP))


def _action_by_cutoff(step: Column) -> Column:
    # a run can begin before the cutoff and contain a save after it
    return F.when(step[_SAVED_AT] < F.col(c.CUT), Action.SAVE.value).otherwise(Action.CLICK.value)


def _with_trainable(histories: DataFrame, opted_out: DataFrame) -> DataFrame:
    flagged = conform(opted_out, OPTED_OUT_USERS).distinct().withColumn("trainable", F.lit(False))
    return histories.join(flagged, c.USER_ID, "left").fillna(True, ["trainable"])
