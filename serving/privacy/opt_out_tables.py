"""The two tables of the opt-out store, and the queries on them: which records are active, and which store this is.

`opt_outs` holds a record for each change of a flag. A record is active once its `effective_at` has passed; of several,
the newest counts. `opt_out_store` holds one row: the identity of the store and how much it holds, updated with every
change. Compared with the marker outside the store (`opt_out_recovery`), that row exposes a store that was emptied,
replaced by another database, or restored from an older copy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from contracts import columns as c
from contracts.errors import BadId
from contracts.ids import read_id, spellings
from contracts.instants import CLOCK_SKEW
from contracts.opt_out_flags import Flag, SubjectType, checked
from contracts.switches import NO_SWITCHES, Switches
from serving.privacy.admin_tables import METADATA, read_switches
from serving.stores.point_reads import PointConnection, PointRead
from serving.stores.sql_instants import Instant
from serving.stores.sql_store import upsert

OPT_OUTS = Table(
    "opt_outs",
    METADATA,
    Column(c.SUBJECT_TYPE, String, primary_key=True),
    Column(c.SUBJECT_ID, String, primary_key=True),
    Column(c.FLAG, String, primary_key=True),
    Column(c.EFFECTIVE_AT, Instant, primary_key=True),
    Column(c.OPTED_OUT, Boolean, nullable=False),
)
IDENTITY = Table(
    "opt_out_store",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("identity", String, nullable=False),
    Column("words", Integer, nullable=False),
    Column("withheld", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)
ONLY = 1
Key = tuple[str, str, str]
"""Subject type, subject id and flag."""


class Marker(BaseModel):
    """One state of the store, as files outside the store record it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    identity: str
    changes: int = Field(alias="words", description="every change that was ever written; it never decreases")
    at: datetime = Field(description="when the last change was written")


@dataclass(frozen=True)
class StoreIdentity:
    """The row of `opt_out_store`, read together with the number of records."""

    identity: str
    changes: int
    """Every change that was ever written."""
    exclusion_changes: int
    """The changes that concern items, creators and switches."""
    expected_rows: int
    at: datetime
    rows: int
    """Records that exist; where they were not counted, 1 for any number."""

    @property
    def marker(self) -> Marker:
        """The state that is recorded outside the store."""
        return Marker(identity=self.identity, changes=self.changes, at=self.at)

    def problem(self, marker: Marker | None, *, counted: bool) -> str | None:
        """Why this is not the store of the marker, or not all of it."""
        if marker and marker.identity != self.identity:
            return "is another store than the one this lake had"
        if marker and marker.changes > self.changes:
            return (
                f"is older than what was written to it (it has {self.changes:,} changes, {marker.changes:,} were "
                f"written until {marker.at:%Y-%m-%d %H:%M:%S} UTC)"
            )
        expected = self.expected_rows if counted else min(self.expected_rows, 1)
        return f"lacks rows (it had {self.expected_rows:,})" if self.rows < expected else None


@dataclass(frozen=True)
class Exclusions:
    """Items, and creators of items, that no feed may show, and what is switched off for all feeds."""

    items: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()
    switches: Switches = NO_SWITCHES


@dataclass(frozen=True)
class CachedExclusions:
    """The exclusions of one state of the store, valid until another record becomes active."""

    identity: str
    changes: int
    valid_until: datetime | None
    exclusions: Exclusions

    def is_valid(self, store: StoreIdentity | None) -> bool:
        """Whether no item, creator or switch changed since, and no further record became active."""
        same = store is not None and (store.identity, store.exclusion_changes) == (self.identity, self.changes)
        return same and (self.valid_until is None or datetime.now(UTC) < self.valid_until)


def canonical(subject_id: str) -> str:
    """The one spelling that is stored."""
    return min(spellings(subject_id), key=len)


def all_spellings(ids: Iterable[str]) -> frozenset[str]:
    """Every id in all of its spellings."""
    return frozenset(spelling for subject in ids for spelling in spellings(subject))


def stored_id(subject: SubjectType, subject_id: str) -> str:
    """The one spelling that is stored. Raises `BadId`."""
    try:
        return canonical(read_id(subject_id))
    except BadId as error:
        raise BadId(f"the id of the {subject} {error}") from None


def subject_type_of(text: str) -> SubjectType:
    """The subject type with this name. Raises `UnknownOptOut`."""
    return SubjectType(text) if text in set(SubjectType) else checked(text, "")[0]


def concerns(subject_type: SubjectType, ids: Iterable[str]) -> ColumnElement[bool]:
    """The records of these subjects, in whichever spelling."""
    return and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.subject_id.in_(sorted(all_spellings(ids))))


def is_active(now: datetime) -> ColumnElement[bool]:
    """Whether a record is active: its time has come, or it is an opt-out that a clock in another zone may mean now."""
    return _is_active(now, now + CLOCK_SKEW)


def _is_active(now: Any, soon: Any) -> ColumnElement[bool]:
    t = OPT_OUTS.c
    return or_(t.effective_at <= now, and_(t.opted_out, t.effective_at < soon))


def _records(condition: ColumnElement[bool], active: ColumnElement[bool]) -> Select[Any]:
    t = OPT_OUTS.c
    records = select(t.subject_type, t.subject_id, t.flag, t.opted_out, t.effective_at)
    return records.where(condition, active).order_by(t.effective_at, t.opted_out)


OF_SUBJECT = PointRead(
    _records(
        and_(
            OPT_OUTS.c.subject_type == bindparam("subject_type"),
            OPT_OUTS.c.subject_id.in_([bindparam("id"), bindparam("other_spelling")]),
        ),
        _is_active(bindparam("now", type_=Instant), bindparam("soon", type_=Instant)),
    )
)


def opted_out_now(connection: Connection, condition: ColumnElement[bool]) -> list[Key]:
    """The subjects and flags that are opted out now."""
    return [key for key, (opted_out, _) in newest_active(connection, condition).items() if opted_out]


def active_flags(connection: PointConnection, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
    """The flags of one subject that are opted out now."""
    now, ids = datetime.now(UTC), spellings(subject_id)
    values = {"subject_type": str(subject_type), "id": ids[0], "other_spelling": ids[-1]}
    records = _newest(OF_SUBJECT.rows(connection, {**values, "now": now, "soon": now + CLOCK_SKEW}))
    return frozenset(Flag(flag) for (_, _, flag), (opted_out, _) in records.items() if opted_out)


def newest_active(connection: Connection, condition: ColumnElement[bool]) -> dict[Key, tuple[bool, datetime]]:
    """The record that counts for each subject and flag; where two spellings disagree at one instant, the opt-out."""
    return _newest(connection.execute(_records(condition, is_active(datetime.now(UTC)))))


def _newest(rows: Iterable[Any]) -> dict[Key, tuple[bool, datetime]]:
    return {(kind, canonical(subject), flag): (opted_out, at) for kind, subject, flag, opted_out, at in rows}


def read_exclusions(connection: Connection, store: StoreIdentity | None) -> CachedExclusions:
    """What holds for every feed, and the next instant at which that changes by itself."""
    t = OPT_OUTS.c
    condition = t.flag == Flag.RECOMMENDATION
    keys = opted_out_now(connection, condition)
    later = select(t.opted_out, func.min(t.effective_at)).where(condition, ~is_active(datetime.now(UTC)))
    starts = [at - CLOCK_SKEW if out else at for out, at in connection.execute(later.group_by(t.opted_out))]
    of = {kind: all_spellings(subject for which, subject, _ in keys if which == kind) for kind in SubjectType}
    exclusions = Exclusions(of[SubjectType.ITEM], of[SubjectType.CREATOR], read_switches(connection))
    identity, changes = (store.identity, store.exclusion_changes) if store else ("", 0)
    return CachedExclusions(identity, changes, min(starts, default=None), exclusions)


def count_records(connection: Connection) -> int:
    """The number of records."""
    return connection.scalar(select(func.count()).select_from(OPT_OUTS)) or 0


def insert_records(connection: Connection, records: Mapping[tuple[Key, datetime], bool]) -> None:
    """Insert whether a flag is opted out from an instant on; of two records with the same instant, an opt-out wins."""
    if rows := [_row(key, at, opted_out=opted_out) for (key, at), opted_out in records.items()]:
        insert = upsert(connection.engine, OPT_OUTS)
        either = or_(OPT_OUTS.c.opted_out, insert.excluded.opted_out)
        connection.execute(insert.on_conflict_do_update(OPT_OUTS.primary_key, set_={c.OPTED_OUT: either}), rows)


def _row(key: Key, at: datetime, *, opted_out: bool) -> dict[str, object]:
    return {c.SUBJECT_TYPE: key[0], c.SUBJECT_ID: key[1], c.FLAG: key[2], c.EFFECTIVE_AT: at, c.OPTED_OUT: opted_out}


def prune(connection: Connection) -> None:
    """Delete records that can never become active again, so that queries stay as cheap as in a new store."""
    add_changes(connection, 0, exclusions=0)  # waits for its turn among the writers
    newer, now = OPT_OUTS.alias(), datetime.now(UTC)
    same = and_(*(newer.c[name] == OPT_OUTS.c[name] for name in (c.SUBJECT_TYPE, c.SUBJECT_ID, c.FLAG)))
    later = and_(newer.c.effective_at > OPT_OUTS.c.effective_at, newer.c.effective_at <= now)
    deleted = connection.execute(delete(OPT_OUTS).where(exists().where(same, later))).rowcount
    add_expected_rows(connection, -deleted)


def read_identity(connection: PointConnection, *, counted: bool) -> StoreIdentity | None:
    """The identity of the store and the number of records, in one statement: of one snapshot."""
    rows = (STORE_COUNTED if counted else STORE).rows(connection, {})
    return StoreIdentity(*rows[0]) if rows else None


def _store(rows: FromClause) -> Select[Any]:
    t = IDENTITY.c
    count = select(func.count()).select_from(rows).scalar_subquery()
    return select(t.identity, t.words, t.withheld, t.held, t.at, count)


STORE, STORE_COUNTED = PointRead(_store(select(OPT_OUTS).limit(1).subquery())), PointRead(_store(OPT_OUTS))


def create_identity(connection: Connection) -> None:
    """Give the store an identity, unless it has one."""
    rows = count_records(connection)
    row = {"only": ONLY, "identity": uuid4().hex, "words": rows, "withheld": 0, "held": rows, "at": datetime.now(UTC)}
    connection.execute(upsert(connection.engine, IDENTITY).values(row).on_conflict_do_nothing())


def add_changes(connection: Connection, changes: int, *, exclusions: int) -> None:
    """Count changes that are about to be written. The writers of PostgreSQL wait here for each other."""
    counts = {"words": IDENTITY.c.words + changes, "withheld": IDENTITY.c.withheld + exclusions}
    connection.execute(update(IDENTITY).values(**counts, at=datetime.now(UTC)))


def add_expected_rows(connection: Connection, rows: int) -> None:
    """Count how many rows were inserted or deleted."""
    connection.execute(update(IDENTITY).values(held=IDENTITY.c.held + rows))
