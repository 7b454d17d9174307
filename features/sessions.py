"""Events become sessions: the given session, else the events between two pauses."""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from contracts import columns as c
from contracts.schemas import EVENTS, SESSIONS
from features.spark_session import conform

STARTED_AT = "session_started_at"


def sessions(events: DataFrame, *, gap_minutes: float) -> DataFrame:
    """Every event with its session and the start of the session.

    A given `session_id` is kept. Among a user's events without one, a pause of `gap_minutes` ends a session; its id is
    derived from the user and the first instant, so later events do not change it.
    """
    # Without ids, a user's events share the partition of null: one window serves both cases.
    visit = Window.partitionBy(c.USER_ID, c.SESSION_ID).orderBy(c.TIMESTAMP, c.EVENT_ID)
    started_at = F.last(F.when(_starts(visit, gap_minutes), F.col(c.TIMESTAMP)), ignorenulls=True).over(visit)
    placed = conform(events, EVENTS).withColumn(STARTED_AT, started_at)
    return conform(placed.withColumn(c.SESSION_ID, F.coalesce(c.SESSION_ID, _derived_id())), SESSIONS)


def _starts(visit: WindowSpec, gap_minutes: float) -> Column:
    """Whether an event is the first of its session."""
    before = F.lag(c.TIMESTAMP).over(visit)
    pause = F.unix_micros(c.TIMESTAMP) - F.unix_micros(before)
    return before.isNull() | (F.col(c.SESSION_ID).isNull() & (pause >= int(gap_minutes * 60_000_000)))


def _derived_id() -> Column:
    return F.sha2(F.to_json(F.struct(c.USER_ID, F.unix_micros(STARTED_AT).alias(STARTED_AT))), 256)
