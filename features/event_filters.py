"""Conditions on an event's action, and the removal of opted-out users from a frame."""

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts import GAIN, POSITIVE, Action
from contracts import columns as c
from features.spark_session import conform


def is_action(action: Action) -> Column:
    """Whether an event is one action."""
    return F.col(c.ACTION) == action.value


def is_positive() -> Column:
    """Whether an event shows interest: a click or a save."""
    return F.col(c.ACTION).isin(*(action.value for action in POSITIVE))


def is_hide_or_unhide() -> Column:
    """Whether an event hides an item, or undoes that."""
    return F.col(c.ACTION).isin(Action.HIDE.value, Action.UNHIDE.value)


def gain() -> Column:
    """The gain of an event as a label: save 2, click 1, any other action 0."""
    worth = F.lit(0)
    for action, value in GAIN.items():
        worth = F.when(is_action(action), value).otherwise(worth)
    return worth


OPTED_OUT_USERS = pa.schema([pa.field(c.USER_ID, pa.string())])
"""One row per user with an active flag; the argument's name states which flag."""


def without_users(frame: DataFrame, users: DataFrame) -> DataFrame:
    """The rows of all other users; rows without a user stay."""
    return frame.join(conform(users, OPTED_OUT_USERS), c.USER_ID, "left_anti")
