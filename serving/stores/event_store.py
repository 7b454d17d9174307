"""Posted events that some release does not include yet: durable before the answer, one row for each event id.

An erased user has a tombstone here. One transaction inserts it and deletes the user's rows; every insert of events is
one transaction that leaves out users with a tombstone. The two kinds of transaction exclude each other, so no row
outlives an acknowledged erasure, whatever the order of commits. A tombstone is a hash and names no user.

The rows serve twice. The feed reads at each request those that its release does not include: it leaves out what a user
has just clicked, saved or hidden, and includes again what the user has unhidden.
The night drains them into the landing zone, batch by batch:

    while batch := events.drain():  # of bounded size
        lake.ingest(batch.rows, name=f"pending-{batch.name}")  # the same name holds the same rows, also after a kill
        events.mark_ingested(batch.name)
    …
    events.delete_before(as_of)  # once a release that includes them is published

An older release may answer again, by a rollback, a pin or an arm. So clicks, saves and hides stay until every release
on disk includes them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    delete,
    func,
    make_url,
    or_,
    select,
    text,
    true,
    type_coerce,
    update,
)

from contracts import Action
from contracts import columns as c
from contracts.errors import EventStoreUnavailable
from contracts.event_rules import POSITIVE
from contracts.ids import spellings
from contracts.instants import CLOCK_SKEW, EARLIEST
from contracts.schemas import EVENTS, INGESTED_EVENTS
from serving.recent_interactions import RecentInteraction, ReleaseTimes, of_one_user, of_users
from serving.stores.circuit_breaker import Use
from serving.stores.event_tables import ERASED, METADATA, PENDING
from serving.stores.sql_instants import EPOCH, MICROSECOND
from serving.stores.sql_store import SqlStore, batched, upsert

NO_RELEASE = ReleaseTimes()
ROWS_PER_STATEMENT = 1000
"""Databases limit the number of variables of a statement (SQLite: 32,766)."""
ROWS_PER_BATCH = 50_000
"""Some tens of megabytes, however many rows are waiting."""
MAX_COUNTED = 100_000
"""Waiting events are counted no further: a count of millions takes longer than a request may wait."""


@dataclass(frozen=True)
class PendingBatch:
    """Rows that go to the landing zone together, in `contracts.schemas.INGESTED_EVENTS`."""

    name: str
    rows: pa.Table


@dataclass(frozen=True)
class Added:
    """The result of `add`. `new` counts the rows whose id was not stored before; rows of `erased` users were not
    stored."""

    new: int
    erased: frozenset[str]


class EventStore(SqlStore):
    """The store behind one SQLAlchemy URL. Every method raises `EventStoreUnavailable`."""

    metadata = METADATA
    name = "the store of posted events"
    label = "events"
    unavailable = EventStoreUnavailable
    remedy = "check the file or TASTEFEED_EVENTS_URL, then post again"
    setting = "TASTEFEED_EVENTS_URL"

    def add(self, events: Sequence[Mapping[str, Any]]) -> Added:
        """Store rows of the events table, except those of erased users; durable on return."""
        landed_at = datetime.now(UTC)
        rows = [{**dict.fromkeys(EVENTS.names), **event, c.LANDED_AT: landed_at} for event in events]
        for row in rows:
            row[c.EVENT_ID] = row[c.EVENT_ID] or content_key(row)
        rows.sort(key=lambda row: str(row[c.EVENT_ID]))  # in one order, so that two posts cannot deadlock
        with self._transaction(writes=True) as connection:
            _exclude_erasures(connection)
            erased = _erased(connection, {str(row[c.USER_ID]) for row in rows})
            kept = [row for row in rows if row[c.USER_ID] not in erased]
            return Added(
                sum(_insert(connection, some) for some in batched(kept, ROWS_PER_STATEMENT)), frozenset(erased)
            )

    def waiting(self) -> int:
        """How many events no night has ingested yet, counted up to `MAX_COUNTED`."""
        waiting = select(PENDING.c.in_landing_zone).where(~PENDING.c.in_landing_zone).limit(MAX_COUNTED)
        with self._transaction(use=Use.COUNT) as connection:
            return connection.scalar(select(func.count()).select_from(waiting.subquery())) or 0

    def recent_interactions(
        self, user_ids: Collection[str], release: ReleaseTimes = NO_RELEASE, *, impressions_by: datetime | None = None
    ) -> dict[str, list[RecentInteraction]]:
        """What each of these users clicked, saved, hid or unhid, as far as the release does not include it; nothing for
        users who did not. And what they were shown, in impressions posted no later than `impressions_by`, if that is
        given."""
        user_of = {spelling: user for user in user_ids for spelling in spellings(user)}
        if len(user_ids) == 1:
            with self._point_transaction() as point:
                found = list(of_one_user(point, list(user_of), release, impressions_by))
        else:
            with self._transaction(use=Use.BULK_READ) as whole:
                some = batched(list(user_of), ROWS_PER_STATEMENT)
                found = [each for users in some for each in of_users(whole, users, release, impressions_by)]
        interactions: dict[str, list[RecentInteraction]] = {}
        for user_id, interaction in found:
            interactions.setdefault(user_of[user_id], []).append(interaction)
        return interactions

    def erase(self, user_ids: Iterable[str]) -> int:
        """Delete every event of these users and store no more. Returns how many were deleted."""
        users = sorted({spelling for user in user_ids for spelling in spellings(user)})
        now = datetime.now(UTC)
        rows = 0
        for some in batched(users, ROWS_PER_STATEMENT):
            with self._transaction(writes=True) as connection:
                tombstones = upsert(connection.engine, ERASED).values([_tombstone(user, now) for user in some])
                renewed = {"erased_at": tombstones.excluded.erased_at}
                connection.execute(tombstones.on_conflict_do_update(ERASED.primary_key, set_=renewed))
                rows += connection.execute(delete(PENDING).where(PENDING.c.user_id.in_(some))).rowcount
        return rows

    def tombstones(self, user_ids: Iterable[str] | None = None) -> dict[str, datetime]:
        """When each user was erased, by `user_hash`; by default all of them."""
        hashes = None if user_ids is None else _hashes(user_ids)
        with self._transaction() as connection:
            if hashes is None:
                return dict(connection.execute(select(ERASED.c.user_hash, ERASED.c.erased_at)).all())
            return _tombstones(connection, list(hashes))

    def readmit(self, tombstones: Mapping[str, datetime]) -> None:
        """Accept events of users whose tombstone is unchanged. A user who was erased again has a newer tombstone."""
        for some in batched(list(tombstones.items()), ROWS_PER_STATEMENT):
            same = or_(*((ERASED.c.user_hash == key) & (ERASED.c.erased_at == at) for key, at in some))
            with self._transaction(writes=True) as connection:
                connection.execute(delete(ERASED).where(same))

    def rows(self) -> pa.Table:
        """Everything stored, oldest first."""
        return self._table(true())

    def waiting_per_day(self) -> Counter[date]:
        """How many of the events that no night has ingested yet are of each day in UTC. A time that a night would
        refuse does not count. This creates no store, because a night counts before it locks the lake."""
        if _is_missing(self._url):
            return Counter()
        query = select(DAY_OF_EVENT, func.count()).where(*_usable_waiting()).group_by(DAY_OF_EVENT)
        with self._transaction() as connection:
            return Counter({_midnight(day).date(): count for day, count in connection.execute(query)})

    def waiting_likes(self) -> list[tuple[str, datetime]]:
        """Each user and day with a click or save that no night has ingested yet, once. A day is its midnight in UTC."""
        likes = PENDING.c.action.in_([str(action) for action in POSITIVE])
        query = select(PENDING.c.user_id, DAY_OF_EVENT).where(likes, *_usable_waiting()).distinct()
        with self._transaction() as connection:
            return [(user, _midnight(day)) for user, day in connection.execute(query)]

    def drain(self, limit: int = ROWS_PER_BATCH) -> PendingBatch | None:
        """At most `limit` rows that are not in the landing zone yet; `None` where there are none. An unfinished
        batch comes first, with the same rows."""
        p = PENDING.c
        waiting = ~p.in_landing_zone
        with self._transaction(writes=True) as connection:
            name = connection.scalar(select(p.batch).where(waiting, p.batch.is_not(None)).limit(1))
            if name is None:
                name = uuid4().hex
                some = select(p.event_id).where(waiting, p.batch.is_(None)).limit(limit)
                if not connection.execute(update(PENDING).where(p.event_id.in_(some)).values(batch=name)).rowcount:
                    return None
        return PendingBatch(name, self._table(waiting & (p.batch == name)))

    def mark_ingested(self, batch: str) -> None:
        """Record that the batch is in the landing zone; it is not drained again."""
        in_batch = ~PENDING.c.in_landing_zone & (PENDING.c.batch == batch)
        with self._transaction(writes=True) as connection:
            connection.execute(update(PENDING).where(in_batch).values(in_landing_zone=True))

    def delete_before(
        self, as_of: datetime, *, actions: Collection[Action] = tuple(Action), posted_before: datetime | None = None
    ) -> int:
        """Delete ingested events of some actions from before `as_of`, which the release of that instant includes. A
        release does not include what was posted after its night began: keep that with `posted_before`."""
        p = PENDING.c
        included = p.in_landing_zone & (p.timestamp < as_of) & p.action.in_([str(action) for action in actions])
        if posted_before is not None:
            included &= p.landed_at < posted_before
        some, rows = select(p.event_id).where(included).limit(ROWS_PER_BATCH), 0
        while True:  # posts wait for each of these transactions
            with self._transaction(writes=True) as connection:
                deleted = connection.execute(delete(PENDING).where(p.event_id.in_(some))).rowcount
            rows += deleted
            if deleted < ROWS_PER_BATCH:
                return rows

    def _table(self, condition: ColumnElement[bool]) -> pa.Table:
        query = select(*(PENDING.c[name] for name in INGESTED_EVENTS.names)).where(condition)
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(PENDING.c.landed_at, PENDING.c.event_id)).mappings().all()
        return pa.Table.from_pylist([_without_key(row) for row in rows], schema=INGESTED_EVENTS)


DAY_OF_EVENT = (type_coerce(PENDING.c.timestamp, BigInteger) // (timedelta(days=1) // MICROSECOND)).label("day")
"""The day of an event, counted from 1970 in UTC."""


def _is_missing(url: str) -> bool:
    """Whether a URL names an SQLite file that does not exist."""
    location = make_url(url)
    path = location.database or ":memory:"
    return location.get_backend_name() == "sqlite" and not path.startswith((":", "file:")) and not Path(path).exists()


def _midnight(day: int) -> datetime:
    return EPOCH + timedelta(days=day)


def _usable_waiting() -> tuple[ColumnElement[bool], ...]:
    """The rows that the next night drains, with a time that it accepts: it stamps them with its own clock."""
    in_time = PENDING.c.timestamp.between(EARLIEST, datetime.now(UTC) + CLOCK_SKEW)
    return ~PENDING.c.in_landing_zone, in_time


WITHOUT_ID = "\x01"
"""The first character of the key of an event without an id; no id can contain it."""


def content_key(event: Mapping[str, Any]) -> str:
    """The key of an event without an id in this store, so that the same event posted twice is stored once. It is not
    the event id: `features.events` derives that, by one function for posted and imported events."""
    content = [event.get(name) for name in EVENTS.names if name != c.EVENT_ID]
    return WITHOUT_ID + hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _without_key(row: RowMapping) -> dict[str, Any]:
    has_id = not row[c.EVENT_ID].startswith(WITHOUT_ID)
    return {**row, c.EVENT_ID: row[c.EVENT_ID] if has_id else None}


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    insert = upsert(connection.engine, PENDING).values(rows).on_conflict_do_nothing()
    return len(connection.execute(insert.returning(PENDING.c.event_id)).all())


def user_hash(user_id: str) -> str:
    """The hash that stands for a user in a tombstone."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def _hashes(user_ids: Iterable[str]) -> dict[str, str]:
    return {user_hash(user): user for user in user_ids}


def _tombstone(user_id: str, erased_at: datetime) -> dict[str, Any]:
    return {"user_hash": user_hash(user_id), "erased_at": erased_at}


def _exclude_erasures(connection: Connection) -> None:
    """Let no erasure run at the same time; other posts may. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {ERASED.name} IN SHARE MODE"))


def _erased(connection: Connection, user_ids: Collection[str]) -> set[str]:
    hashes = _hashes(user_ids)
    return {hashes[key] for key in _tombstones(connection, list(hashes))}


def _tombstones(connection: Connection, hashes: Sequence[str]) -> dict[str, datetime]:
    queries = (select(ERASED).where(ERASED.c.user_hash.in_(some)) for some in batched(hashes, ROWS_PER_STATEMENT))
    return {key: at for query in queries for key, at in connection.execute(query)}
