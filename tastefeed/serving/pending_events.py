"""Events that were posted and that no published release includes yet: durable before the answer, one row an id.

They serve twice. The feed reads them at each request, so that what a user clicked, saved or hid a second ago is not
shown again. The night drains them into the landing zone, batch by batch:

    while batch := pending.drain():
        lake.land(batch.rows, name=f"pending-{batch.name}")  # the same name holds the same rows, also after a kill
        pending.landed(batch.name)
    …
    pending.forget_before(as_of)  # once a release that includes them is published
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    delete,
    select,
    true,
    update,
)

from tastefeed.contracts import Action
from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import EventStoreUnavailable
from tastefeed.contracts.schemas import EVENTS, LANDED_EVENTS
from tastefeed.serving.stores import Instant, SqlStore, upsert

METADATA = MetaData()
PENDING = Table(
    "pending_events",
    METADATA,
    Column(c.EVENT_ID, String, primary_key=True),
    Column(c.USER_ID, String, nullable=False, index=True),
    Column(c.ITEM_ID, String, nullable=False),
    Column(c.ACTION, String, nullable=False),
    Column(c.TIMESTAMP, Instant, nullable=False),
    Column(c.SESSION_ID, String),
    Column(c.REQUEST_ID, String),
    Column(c.POSITION, Integer),
    Column(c.PROPENSITY, Float),
    Column(c.LANDED_AT, Instant, nullable=False),
    Column("batch", String, index=True),
    Column("in_landing_zone", Boolean, nullable=False, default=False),
)
TOUCHES = (Action.CLICK, Action.SAVE, Action.HIDE)
"""Actions after which an item is not shown to the user again."""


AT_ONCE = 1000
"""Rows of one statement: databases limit its variables (SQLite: 32,766)."""


@dataclass(frozen=True)
class Batch:
    """Rows that go to the landing zone together, in `contracts.schemas.LANDED_EVENTS`."""

    name: str
    rows: pa.Table


@dataclass(frozen=True)
class Touch:
    """An item that the user clicked, saved or hid, and when the server was told."""

    item_id: str
    landed_at: datetime


class PendingEvents(SqlStore):
    """The store behind one SQLAlchemy URL. Every method raises `EventStoreUnavailable`."""

    metadata = METADATA
    name = "the store of posted events"
    unavailable = EventStoreUnavailable
    remedy = "check the file or TASTEFEED_EVENTS_URL, then post again"

    def add(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Store rows of the events table; durable on return. Returns how many were new: a repeated id is none."""
        landed_at = datetime.now(UTC)
        rows = [{**dict.fromkeys(EVENTS.names), **event, c.LANDED_AT: landed_at} for event in events]
        for row in rows:
            row[c.EVENT_ID] = row[c.EVENT_ID] or content_key(row)
        with self._transaction() as connection:
            return sum(_insert(connection, some) for some in batched(rows, AT_ONCE))

    def touched(self, user_id: str) -> list[Touch]:
        """What the user clicked, saved or hid and no release knows yet."""
        p = PENDING.c
        asked = select(p.item_id, p.landed_at).where(p.user_id == user_id, p.action.in_(TOUCHES))
        with self._transaction() as connection:
            return [Touch(item_id, landed_at) for item_id, landed_at in connection.execute(asked)]

    def touches(self) -> dict[str, list[str]]:
        """The items that each user clicked, saved or hid and no release knows yet."""
        p = PENDING.c
        found: dict[str, list[str]] = {}
        with self._transaction() as connection:
            for user_id, item_id in connection.execute(select(p.user_id, p.item_id).where(p.action.in_(TOUCHES))):
                found.setdefault(user_id, []).append(item_id)
        return found

    def erase(self, user_ids: Iterable[str]) -> int:
        """Drop every event of these users. Returns how many there were."""
        with self._transaction() as connection:
            gone = (delete(PENDING).where(PENDING.c.user_id.in_(some)) for some in batched(list(user_ids), AT_ONCE))
            return sum(connection.execute(some).rowcount for some in gone)

    def rows(self) -> pa.Table:
        """Everything stored, oldest first."""
        return self._table(true())

    def drain(self) -> Batch | None:
        """A batch that is not in the landing zone yet: one sealed before, else all that is open; `None`: nothing."""
        p = PENDING.c
        with self._transaction() as connection:
            name = connection.scalar(select(p.batch).where(p.batch.is_not(None), ~p.in_landing_zone).limit(1))
            if name is None:
                name = uuid4().hex
                if not connection.execute(update(PENDING).where(p.batch.is_(None)).values(batch=name)).rowcount:
                    return None
        return Batch(name, self._table(p.batch == name))

    def landed(self, batch: str) -> None:
        """The batch lies in the landing zone; it is not drained again."""
        with self._transaction() as connection:
            connection.execute(update(PENDING).where(PENDING.c.batch == batch).values(in_landing_zone=True))

    def forget_before(self, as_of: datetime) -> int:
        """Drop what lies in the landing zone and happened before `as_of`: the release of that instant includes it."""
        included = (PENDING.c.in_landing_zone) & (PENDING.c.timestamp < as_of)
        with self._transaction() as connection:
            return connection.execute(delete(PENDING).where(included)).rowcount

    def _table(self, asked: ColumnElement[bool]) -> pa.Table:
        wanted = select(*(PENDING.c[name] for name in LANDED_EVENTS.names)).where(asked)
        with self._transaction() as connection:
            found = connection.execute(wanted.order_by(PENDING.c.landed_at, PENDING.c.event_id)).mappings().all()
        return pa.Table.from_pylist([_without_key(row) for row in found], schema=LANDED_EVENTS)


WITHOUT_ID = "\x01"
"""Begins the key of an event that came without an id; no id can hold this character."""


def content_key(event: Mapping[str, Any]) -> str:
    """What tells events without an id apart in this store, so that the same event posted twice is stored once. It is no
    event id: `features.events` derives that, by one function for posted and imported events."""
    content = [event.get(name) for name in EVENTS.names if name != c.EVENT_ID]
    return WITHOUT_ID + hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _without_key(row: RowMapping) -> dict[str, Any]:
    came_with_id = not row[c.EVENT_ID].startswith(WITHOUT_ID)
    return {**row, c.EVENT_ID: row[c.EVENT_ID] if came_with_id else None}


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    insert = upsert(connection.engine, PENDING).values(rows).on_conflict_do_nothing()
    return len(connection.execute(insert.returning(PENDING.c.event_id)).all())


def batched(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The values in runs of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))
