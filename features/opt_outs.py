"""The one place where people are left out of a frame."""

import pyarrow as pa
from pyspark.sql import DataFrame

from contracts import columns as c
from features.conform import conform

OPTED_OUT_USERS = pa.schema([pa.field(c.USER_ID, pa.string())])
"""One row a user who has a flag in force; which flag is said by the argument's name."""


def without_users(frame: DataFrame, users: DataFrame) -> DataFrame:
    """The rows of everyone but `users`; rows without a user stay."""
    return frame.join(conform(users, OPTED_OUT_USERS), c.USER_ID, "left_anti")
