"""Rules of events: the actions, their gains, and the reasons for which a row is quarantined."""

from enum import StrEnum


class Action(StrEnum):
    """The five actions of the events table."""

    IMPRESSION = "impression"
    CLICK = "click"
    SAVE = "save"
    HIDE = "hide"
    UNHIDE = "unhide"


POSITIVE = (Action.CLICK, Action.SAVE)
"""Actions that show interest: the labels of training and evaluation."""

GAIN = {Action.SAVE: 2, Action.CLICK: 1}
"""The gain of an action as a ranking label; every other action has gain 0. An unhide only undoes earlier hides."""


class Reason(StrEnum):
    """Why a row is quarantined: the first reason that applies, in this order."""

    NULL_ID = "null_id"
    UNKNOWN_ACTION = "unknown_action"
    BAD_TIMESTAMP = "bad_timestamp"
    BEFORE_1990 = "before_1990"
    IN_THE_FUTURE = "in_the_future"
    AFTER_AS_OF = "after_as_of"
    DUPLICATE_EVENT_ID = "duplicate_event_id"
    UNKNOWN_ITEM = "unknown_item"
    OWN_ITEM = "own_item"  # set by an import alone: creators' events on their own items show no interest


HARMLESS = (Reason.AFTER_AS_OF,)
"""Reasons of rows that are not broken, such as events after the night's day: counted, but they never stop a night."""
