"""Conditions on an event's action."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from contracts import GAIN, POSITIVE, Action
from contracts import columns as c


def is_action(action: Action) -> Column:
    """Whether an event is one action."""
    return F.col(c.ACTION) == action.value


def is_positive() -> Column:
    """Whether an event speaks of taste: a click or a save."""
    return F.col(c.ACTION).isin(*(action.value for action in POSITIVE))


def is_touch() -> Column:
    """Whether the user did something with the item themselves: anything but being shown it."""
    return F.col(c.ACTION) != Action.IMPRESSION.value


def gain() -> Column:
    """What an event is worth as a label: save 2, click 1, anything else 0."""
    worth = F.lit(0)
    for action, value in GAIN.items():
        worth = F.when(is_action(action), value).otherwise(worth)
    return worth
