"""What every room agrees on: column names, id types, actions, schemas, opt-out flags, errors and settings.

Imports nothing of ours, and no engine: neither Spark nor torch nor pandas.
"""

from tastefeed.contracts.actions import GAIN, POSITIVE, Action
from tastefeed.contracts.columns import ItemId, ItemRow, UserId, UserRow
from tastefeed.contracts.opt_outs import Flag, OptOut, OptOutReader, SubjectType
from tastefeed.contracts.quarantine import HARMLESS, Reason
from tastefeed.contracts.settings import Settings

__all__ = [
    "GAIN",
    "HARMLESS",
    "POSITIVE",
    "Action",
    "Flag",
    "ItemId",
    "ItemRow",
    "OptOut",
    "OptOutReader",
    "Reason",
    "Settings",
    "SubjectType",
    "UserId",
    "UserRow",
]
