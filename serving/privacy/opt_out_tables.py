"""The words of the opt-out store as SQL: which of them hold, and which are in force."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
)

from contracts import columns as c
from contracts.errors import BadId
from contracts.ids import read_id, spellings
from contracts.instants import CLOCK_SKEW
from contracts.opt_out_flags import Flag, SubjectType, checked
from serving.privacy import store_identity
from serving.privacy.last_known import Withheld
from serving.privacy.store_identity import Identity
from serving.sql_store import Instant, upsert

METADATA = MetaData()
OPT_OUTS = Table(
    "opt_outs",
    METADATA,
    Column(c.SUBJECT_TYPE, String, primary_key=True),
    Column(c.SUBJECT_ID, String, primary_key=True),
    Column(c.FLAG, String, primary_key=True),
    Column(c.EFFECTIVE_AT, Instant, primary_key=True),
    Column(c.OPTED_OUT, Boolean, nullable=False),
)
IDENTITY = store_identity.identity_table(METADATA)
Key = tuple[str, str, str]


@dataclass(frozen=True)
class WithheldRead:
    """The withheld items and creators of one state of the store, until the next word of it comes to hold."""

    identity: str
    words: int
    until: datetime | None
    withheld: Withheld

    def holds(self, now: Identity | None) -> bool:
        """Whether nothing was said of an item or creator since, and no word has come to hold."""
        same = now is not None and (now.identity, now.withheld) == (self.identity, self.words)
        return same and (self.until is None or datetime.now(UTC) < self.until)


def canonical(subject_id: str) -> str:
    """The one spelling that is stored."""
    return min(spellings(subject_id), key=len)


def spelled(ids: Iterable[str]) -> frozenset[str]:
    """Every id in all of its spellings."""
    return frozenset(spelling for subject in ids for spelling in spellings(subject))


def subject_of(subject_type: str) -> SubjectType:
    """The word as a type. Raises `UnknownOptOut`."""
    return SubjectType(subject_type) if subject_type in set(SubjectType) else checked(subject_type, "")[0]


def flags_of(keys: Iterable[Key]) -> frozenset[Flag]:
    """The flags of some keys."""
    return frozenset(Flag(flag) for _, _, flag in keys)


def about(subject_type: SubjectType, ids: Iterable[str]) -> ColumnElement[bool]:
    """The words about these subjects, in whichever spelling."""
    return and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.subject_id.in_(sorted(spelled(ids))))


def holds(now: datetime) -> ColumnElement[bool]:
    """Whether a word holds: its time has come, or it is an opt-out and a clock in another zone may read so."""
    t = OPT_OUTS.c
    return or_(t.effective_at <= now, and_(t.opted_out, t.effective_at < now + CLOCK_SKEW))


def in_force(connection: Connection, asked: ColumnElement[bool]) -> list[Key]:
    """The subjects and flags that are opted out now."""
    return [key for key, (said, _) in newest(connection, asked).items() if said]


def newest(connection: Connection, asked: ColumnElement[bool]) -> dict[Key, tuple[bool, datetime]]:
    """The word in force on each subject and flag; where two spellings say both at one instant, it is out."""
    t = OPT_OUTS.c
    words = select(t.subject_type, t.subject_id, t.flag, t.opted_out, t.effective_at)
    words = words.where(asked, holds(datetime.now(UTC))).order_by(t.effective_at, t.opted_out)
    rows = connection.execute(words)
    return {(kind, canonical(subject), flag): (said, at) for kind, subject, flag, said, at in rows}


def read_withheld(connection: Connection, identity: Identity | None) -> WithheldRead:
    """The items and creators that are in no feed, and the next instant at which that changes by itself."""
    t = OPT_OUTS.c
    asked = t.flag == Flag.RECOMMENDATION
    keys = in_force(connection, asked)
    later = select(t.opted_out, func.min(t.effective_at)).where(asked, ~holds(datetime.now(UTC))).group_by(t.opted_out)
    starts = [at - CLOCK_SKEW if said else at for said, at in connection.execute(later)]
    of = {kind: spelled(subject for which, subject, _ in keys if which == kind) for kind in SubjectType}
    withheld = Withheld(of[SubjectType.ITEM], of[SubjectType.CREATOR])
    return WithheldRead(
        identity.identity if identity else "", identity.withheld if identity else 0, min(starts, default=None), withheld
    )


def count_rows(connection: Connection) -> int:
    """How many words are kept."""
    return connection.scalar(select(func.count()).select_from(OPT_OUTS)) or 0


def insert_words(connection: Connection, rows: list[dict[str, object]]) -> None:
    """Keep words; one of the same instant stays opted out where either says so."""
    if rows:
        insert = upsert(connection.engine, OPT_OUTS)
        out = or_(OPT_OUTS.c.opted_out, insert.excluded.opted_out)
        connection.execute(insert.on_conflict_do_update(OPT_OUTS.primary_key, set_={c.OPTED_OUT: out}), rows)


def row_of(key: Key, at: datetime, *, opted_out: bool) -> dict[str, object]:
    """A word as a row."""
    return {c.SUBJECT_TYPE: key[0], c.SUBJECT_ID: key[1], c.FLAG: key[2], c.EFFECTIVE_AT: at, c.OPTED_OUT: opted_out}


def prune(connection: Connection) -> None:
    """Drop words that can never hold again, so that a question is as cheap as in a store without a past."""
    store_identity.count(connection, IDENTITY, 0, withheld=0)  # takes its turn among the writers
    newer, now = OPT_OUTS.alias(), datetime.now(UTC)
    same = and_(*(newer.c[name] == OPT_OUTS.c[name] for name in (c.SUBJECT_TYPE, c.SUBJECT_ID, c.FLAG)))
    later = and_(newer.c.effective_at > OPT_OUTS.c.effective_at, newer.c.effective_at <= now)
    gone = connection.execute(delete(OPT_OUTS).where(exists().where(same, later))).rowcount
    store_identity.hold(connection, IDENTITY, -gone)


def stored_id(subject: SubjectType, subject_id: str) -> str:
    """The one spelling that is stored. Raises `BadId`."""
    try:
        return canonical(read_id(subject_id))
    except BadId as error:
        raise BadId(f"the id of the {subject} {error}") from None
