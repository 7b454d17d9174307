"""What an event may be: its actions, what they are worth, and the reasons to refuse one."""

from enum import StrEnum


class Action(StrEnum):
    """The four actions of the events table."""

    IMPRESSION = "impression"
    CLICK = "click"
    SAVE = "save"
    HIDE = "hide"


POSITIVE = (Action.CLICK, Action.SAVE)
"""Actions that speak of taste; the labels of training and evaluation."""

GAIN = {Action.SAVE: 2, Action.CLICK: 1}
"""What an action is worth as a ranking label; everything else is 0."""


class Reason(StrEnum):
    """The first that applies, in this order, is the row's reason."""

    NULL_ID = "null_id"
    UNKNOWN_ACTION = "unknown_action"
    BAD_TIMESTAMP = "bad_timestamp"
    BEFORE_1990 = "before_1990"
    IN_THE_FUTURE = "in_the_future"
    AFTER_AS_OF = "after_as_of"
    DUPLICATE_EVENT_ID = "duplicate_event_id"
    UNKNOWN_ITEM = "unknown_item"
    OWN_ITEM = "own_item"  # given by importers alone: a creator's activity on their own item is no taste


HARMLESS = (Reason.AFTER_AS_OF,)
"""Reasons that speak of no broken row (an earlier night sees every later day so): counted, and never stop the night."""
