"""The two tables of the event store (`event_store`)."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table

from contracts import columns as c
from serving.stores.sql_instants import Instant

METADATA = MetaData()
PENDING = Table(
    "pending_events",
    METADATA,
    Column(c.EVENT_ID, String, primary_key=True),
    Column(c.USER_ID, String, nullable=False),
    Column(c.ITEM_ID, String, nullable=False),
    Column(c.ACTION, String, nullable=False),
    Column(c.TIMESTAMP, Instant, nullable=False),
    Column(c.SESSION_ID, String),
    Column(c.REQUEST_ID, String),
    Column(c.POSITION, Integer),
    Column(c.PROPENSITY, Float),
    Column(c.LANDED_AT, Instant, nullable=False),
    Column("batch", String),
    Column("in_landing_zone", Boolean, nullable=False, default=False),
    Index("ix_pending_events_user_action", c.USER_ID, c.ACTION),  # a feed reads a user's actions of a few kinds
    Index("ix_pending_events_drain", "in_landing_zone", "batch"),
)
ERASED = Table(
    "erased_users",
    METADATA,
    Column("user_hash", String, primary_key=True),
    Column("erased_at", Instant, nullable=False),
)
