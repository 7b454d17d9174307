"""Training examples of the re-ranker: the new items that users clicked or saved after a cutoff."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, ITEMS, RANKING_EXAMPLES
from features.event_filters import gain, is_action, is_hide_or_unhide, is_positive, without_users
from features.spark_session import conform
from features.time_cutoffs import after_cutoffs, existed


def ranking_examples(
    events: DataFrame,
    items: DataFrame,
    cutoffs: Sequence[datetime],
    *,
    label_days: int,
    opted_out_of_training: DataFrame,
) -> DataFrame:
    """One row per cutoff, user and item clicked (1) or saved (2) in `[cutoff, cutoff + label_days)`.

    Only users with an event before the cutoff, and items that existed then and that the user had not clicked or saved
    before, and did not hide at that time. Users who opted out of training are absent. Takes events or sessions.
    """
    trainable = without_users(conform(events, EVENTS), opted_out_of_training)
    positives = of_new_items(trainable, items, cutoffs, label_days=label_days, kept=is_positive())
    labels = positives.groupBy(c.CUT, c.USER_ID, c.ITEM_ID).agg(F.max(gain()).alias("label"))
    return conform(labels, RANKING_EXAMPLES)


def of_new_items(
    events: DataFrame, items: DataFrame, cutoffs: Sequence[datetime], *, label_days: int, kept: Column
) -> DataFrame:
    """The `kept` events of the window after each cutoff, on items that were new to their user at the cutoff.

    The user had an event before the cutoff. The item existed then, and the user had not clicked, saved or hidden it.
    """
    created = conform(items, ITEMS).select(c.ITEM_ID, c.CREATED_AT)
    found = after_cutoffs(_with_firsts(events).where(kept), cutoffs, days=label_days).join(created, c.ITEM_ID)
    new = (
        (F.col("_first_event_at") < F.col(c.CUT))
        & F.coalesce(F.col("_first_positive_at") >= F.col(c.CUT), F.lit(True))
        & ~_is_hidden()
        & existed(F.col(c.CUT))
    )
    return found.where(new)


def _with_firsts(events: DataFrame) -> DataFrame:
    """Add the instants of the user's first event and of their first click or save of the item, and its hides.

    They decide for every cutoff which items were new to the user.
    """
    of_pair = Window.partitionBy(c.USER_ID, c.ITEM_ID)
    hide_or_unhide = F.struct(F.col(c.TIMESTAMP), is_action(Action.UNHIDE).alias("undone"))
    return events.withColumns(
        {
            "_first_event_at": F.min(c.TIMESTAMP).over(Window.partitionBy(c.USER_ID)),
            "_first_positive_at": F.min(F.when(is_positive(), F.col(c.TIMESTAMP))).over(of_pair),
            "_hides": F.collect_list(F.when(is_hide_or_unhide(), hide_or_unhide)).over(of_pair),
        }
    )


def _is_hidden() -> Column:
    """Whether the last hide or unhide before the cutoff is a hide."""
    before = F.filter("_hides", lambda hide: hide[c.TIMESTAMP] < F.col(c.CUT))
    return F.coalesce(~F.array_max(before)["undone"], F.lit(False))
