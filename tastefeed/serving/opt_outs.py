"""Who and what opted out, in SQL: durable before a write returns, read anew at each question, never cached.

The table keeps, for each subject and flag, what was said and from when it holds. In force is the newest word whose
`effective_at` has passed: an import may bring words that hold later. What is said through `set` and `clear` holds at
once and replaces all that was said before; taking back is a word too, so that no old file imported again undoes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Boolean, Column, ColumnElement, Connection, MetaData, String, Table, and_, delete, or_, select

from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import OptOutStoreUnavailable
from tastefeed.contracts.opt_outs import UNREADABLE, Flag, OptOut, SubjectType, checked
from tastefeed.serving.stores import Instant, SqlStore, as_utc, upsert

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
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Standing:
    """Everything that one feed must respect: the user's own flags, and whom nobody may be shown."""

    flags: frozenset[Flag]
    items: frozenset[str]
    creators: frozenset[str]

    @property
    def unreadable(self) -> bool:
        """Whether nothing of the user may be read."""
        return not self.flags.isdisjoint(UNREADABLE)


class OptOutStore(SqlStore):
    """The opt-outs behind one SQLAlchemy URL; implements `contracts.OptOutReader`.

    Every method raises `OptOutStoreUnavailable` where the database cannot be read or written.
    """

    metadata = METADATA
    name = "the opt-out store"
    unavailable = OptOutStoreUnavailable
    remedy = "check the file or TASTEFEED_OPT_OUT_URL; until it can be read, nobody is profiled"

    def flags(self, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
        """The flags in force for one subject."""
        return frozenset(Flag(flag) for _, _, flag in self._in_force(_is(subject_type, subject_id)))

    def subjects(self, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
        """Every subject of a type that has at least one of `flags` in force."""
        asked = and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.flag.in_(list(flags)))
        return frozenset(subject for _, subject, _ in self._in_force(asked))

    def standing(self, user_id: str | None) -> Standing:
        """What a feed must respect, in one question; without a user, what holds for everybody."""
        asked = OPT_OUTS.c.flag == Flag.RECOMMENDATION
        rows = self._in_force(asked if user_id is None else or_(asked, _is(SubjectType.USER, user_id)))
        of = {kind: frozenset(subject for which, subject, _ in rows if which == kind) for kind in SubjectType}
        own = frozenset(Flag(flag) for which, _, flag in rows if which == SubjectType.USER)
        return Standing(own, of[SubjectType.ITEM], of[SubjectType.CREATOR])

    def set(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Opt out, from now on. Durable on return; said twice is said once."""
        return self._say(subject_type, subject_id, flag, opted_out=True)

    def clear(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Take an opt-out back, from now on. Durable on return."""
        return self._say(subject_type, subject_id, flag, opted_out=False)

    def get(self, subject_type: str, subject_id: str, flag: str) -> OptOut | None:
        """The word in force on one flag; none was ever said: `None`."""
        subject, known = checked(subject_type, flag)
        return next((word for word in self.show(subject, subject_id) if word.flag == known), None)

    def show(self, subject_type: str, subject_id: str) -> list[OptOut]:
        """The words in force for one subject, one a flag that was ever said. Raises `UnknownOptOut`."""
        subject = SubjectType(subject_type) if subject_type in set(SubjectType) else checked(subject_type, "")[0]
        words = self._newest(_is(subject, subject_id))
        return [OptOut(subject, subject_id, Flag(key[2]), said, at) for key, (said, at) in sorted(words.items())]

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Import many words; of each subject and flag the newest `effective_at` wins. Returns how many were read."""
        words: dict[tuple[Key, datetime], bool] = {}
        for word in (read := list(opt_outs)):
            subject, flag = checked(word.subject_type, word.flag)
            slot = ((subject, word.subject_id, flag), as_utc(word.effective_at))
            words[slot] = words.get(slot, False) or word.opted_out  # said both ways at one instant: out
        with self._transaction() as connection:
            self._insert(connection, [_row(key, at, opted_out=said) for (key, at), said in words.items()])
        return len(read)

    def _say(self, subject_type: str, subject_id: str, flag: str, *, opted_out: bool) -> OptOut:
        subject, known = checked(subject_type, flag)
        word = OptOut(subject, subject_id, known, opted_out, datetime.now(UTC))
        with self._transaction() as connection:
            connection.execute(delete(OPT_OUTS).where(_is(subject, subject_id), OPT_OUTS.c.flag == known))
            self._insert(connection, [_row((subject, subject_id, known), word.effective_at, opted_out=opted_out)])
        return word

    def _insert(self, connection: Connection, rows: list[dict[str, object]]) -> None:
        if rows:
            insert = upsert(connection.engine, OPT_OUTS)
            keys = OPT_OUTS.primary_key
            connection.execute(insert.on_conflict_do_update(keys, set_={c.OPTED_OUT: insert.excluded.opted_out}), rows)

    def _in_force(self, asked: ColumnElement[bool]) -> list[Key]:
        return [key for key, (said, _) in self._newest(asked).items() if said]

    def _newest(self, asked: ColumnElement[bool]) -> dict[Key, tuple[bool, datetime]]:
        t = OPT_OUTS.c
        words = select(t.subject_type, t.subject_id, t.flag, t.opted_out, t.effective_at)
        words = words.where(asked, t.effective_at <= datetime.now(UTC)).order_by(t.effective_at)
        with self._transaction() as connection:
            return {(kind, subject, flag): (said, at) for kind, subject, flag, said, at in connection.execute(words)}


def _is(subject_type: SubjectType, subject_id: str) -> ColumnElement[bool]:
    return and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.subject_id == subject_id)


def _row(key: Key, at: datetime, *, opted_out: bool) -> dict[str, object]:
    return {c.SUBJECT_TYPE: key[0], c.SUBJECT_ID: key[1], c.FLAG: key[2], c.EFFECTIVE_AT: at, c.OPTED_OUT: opted_out}
