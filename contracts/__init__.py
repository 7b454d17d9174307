"""The contract that all packages share: column names, ids, actions, schemas, opt-out flags, errors and settings.

Must not import another package of tastefeed, nor an engine such as Spark, torch or pandas.
"""

from importlib.metadata import version

from contracts.columns import ItemId, ItemRow, UserId, UserRow
from contracts.event_rules import GAIN, HARMLESS, POSITIVE, Action, Reason
from contracts.opt_out_flags import Flag, OptOut, OptOutReader, SubjectType
from contracts.settings import Settings

__version__ = version("tastefeed")

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
    "__version__",
]
