"""What a person can do with an item."""

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
