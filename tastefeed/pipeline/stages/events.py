"""Landed events become valid events; what breaks the contract goes to quarantine with a reason."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tastefeed import features
from tastefeed.contracts import SubjectType
from tastefeed.contracts.opt_outs import UNREADABLE
from tastefeed.pipeline.landed import read_landed_events, read_landed_items
from tastefeed.pipeline.night import Night, Summary

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def events(night: Night) -> Summary:
    """Check what landed. Raises `TooManyBadRows` before anything is learned from it."""
    checked = checked_events(night)
    night.overwrite("quarantine", checked.quarantine)
    night.overwrite("events", checked.events)
    ...
