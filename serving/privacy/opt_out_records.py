"""Queries on the records of the opt-out store: one for each change of a flag, with the instant from which it is active.

The newest active record counts. An opt-out is active up to a day before its `effective_at`, because a client in another
time zone may have meant now.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, exists, or_, select

from contracts import columns as c
from contracts.ids import spellings
from contracts.instants import CLOCK_SKEW
from contracts.opt_out_flags import Flag, OptOut, SubjectType, checked
from serving.privacy.opt_out_tables import OPT_OUTS
from serving.privacy.store_identity import add_changes, add_expected_rows
from serving.privacy.subject_ids import all_spellings, canonical, stored_id
from serving.stores.point_reads import PointConnection, PointRead
from serving.stores.sql_instants import Instant, as_utc
from serving.stores.sql_store import batched, upsert

Key = tuple[str, str, str]
"""Subject type, subject id and flag."""
IDS_PER_QUERY = 1000
"""Databases limit the number of variables of a query."""


def concerns(subject_type: SubjectType, ids: Iterable[str]) -> ColumnElement[bool]:
    """The records of these subjects, in every spelling of their ids."""
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


def opted_out_subjects(connection: Connection, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
    """Every subject of a type that has at least one of `flags` active, in both spellings of its id."""
    condition = and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.flag.in_(list(flags)))
    return all_spellings(subject for _, subject, _ in opted_out_now(connection, condition))


def opted_out_among(
    connection: Connection, subject_type: SubjectType, ids: Iterable[str], flags: Iterable[Flag]
) -> frozenset[str]:
    """Those of `ids` that have at least one of `flags` active. The cost depends on `ids` alone."""
    has_flag, candidates = OPT_OUTS.c.flag.in_(list(flags)), list(dict.fromkeys(ids))
    opted_out: list[Key] = []
    for some in batched(candidates, IDS_PER_QUERY):
        opted_out += opted_out_now(connection, and_(concerns(subject_type, some), has_flag))
    return all_spellings(subject for _, subject, _ in opted_out) & frozenset(candidates)


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


def later_records(connection: Connection, subject_type: SubjectType, subject_id: str) -> list[OptOut]:
    """The records of one subject that are not active yet, the next one first."""
    t = OPT_OUTS.c
    later = select(t.flag, t.opted_out, t.effective_at).where(
        concerns(subject_type, [subject_id]), ~is_active(datetime.now(UTC))
    )
    rows = connection.execute(later.order_by(t.effective_at, t.flag))
    return [OptOut(subject_type, subject_id, Flag(flag), out, at) for flag, out, at in rows]


def all_records(connection: Connection) -> tuple[OptOut, ...]:
    """Every record, active or not, in the order of the table's key."""
    t = OPT_OUTS.c
    everything = select(t.subject_type, t.subject_id, t.flag, t.opted_out, t.effective_at)
    rows = connection.execute(everything.order_by(*OPT_OUTS.primary_key))
    return tuple(OptOut(SubjectType(kind), id_, Flag(flag), out, at) for kind, id_, flag, out, at in rows)


def checked_records(opt_outs: Iterable[OptOut]) -> dict[tuple[Key, datetime], bool]:
    """Whether each flag is opted out from an instant on; of a contradiction, the opt-out wins. Raises `UnknownOptOut`
    and `BadId`."""
    records: dict[tuple[Key, datetime], bool] = {}
    for record in opt_outs:
        subject, flag = checked(record.subject_type, record.flag)
        slot = ((subject, stored_id(subject, record.subject_id), flag), as_utc(record.effective_at))
        records[slot] = records.get(slot, False) or record.opted_out
    return records


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
