"""Why an event can be refused, as the codes that `quarantine.reason`, the run's summary and MLflow show."""

from enum import StrEnum


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
