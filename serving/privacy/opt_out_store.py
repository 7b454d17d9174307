"""Who and what opted out, in SQL: durable before a write returns, and read anew at each question.

The table keeps, for each subject and flag, what was said and from when it holds. In force is the newest word that holds
already: a word whose `effective_at` has passed, or an opt-out whose `effective_at` lies less than a day ahead, for a
sender in another time zone may have meant now. What is said through `set` and `clear` replaces what was said before.
`42` and `42.0` are one subject, whichever spelling was used (`contracts.ids`).

A store that was there before and is gone, empty, older or another one is unavailable, never empty (`store_identity`,
`store_marker`). Only `create` makes one.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    Connection,
    and_,
    delete,
    inspect,
    select,
)

from contracts import Settings
from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import UNREADABLE, Flag, OptOut, SubjectType, checked
from serving.privacy import store_identity
from serving.privacy.last_known import LastKnown
from serving.privacy.opt_out_tables import (
    IDENTITY,
    METADATA,
    OPT_OUTS,
    Key,
    WithheldRead,
    about,
    count_rows,
    flags_of,
    holds,
    in_force,
    insert_words,
    newest,
    prune,
    read_withheld,
    row_of,
    spelled,
    stored_id,
    subject_of,
)
from serving.privacy.store_identity import Identity
from serving.privacy.store_marker import Marker, MarkerFiles
from serving.sql_store import SqlStore, as_utc, batched, create_tables, open_engine

LOG = logging.getLogger("tastefeed.opt_outs")
AT_ONCE = 1000
"""Ids of one question: databases limit its variables."""


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


@dataclass(frozen=True)
class Snapshot:
    """What the store held at one instant; a store of before stores had an identity has no marker."""

    marker: Marker | None
    words: tuple[OptOut, ...]


class OptOutStore(SqlStore):
    """The opt-outs behind one SQLAlchemy URL; implements `contracts.OptOutReader`.

    Every method raises `OptOutStoreUnavailable` where the database cannot be read or written, or is not the one that
    the marker speaks of; those that take an id of somebody raise `BadId`.
    """

    metadata = METADATA
    name = "the opt-out store"
    unavailable = OptOutStoreUnavailable
    remedy = (
        "run `tastefeed opt-out restore` (or `tastefeed init` where there never was one), or check the file or "
        "TASTEFEED_OPT_OUT_URL; until it can be read, nobody is profiled"
    )
    creates = False

    def __init__(self, url: str, *, beside: Sequence[Path]) -> None:
        """`beside` are the folders that keep the marker: the lake's and, last, that of the releases."""
        super().__init__(url)
        self._markers, self._last_known = MarkerFiles(beside), LastKnown(beside[-1])
        self._read: WithheldRead | None = None
        self._has_identity = self._counted = False

    @classmethod
    def of(cls, settings: Settings) -> "OptOutStore":
        """The store of a lake."""
        beside = settings.lake_folder, settings.release_root
        return cls(settings.opt_out_dsn, beside=beside)

    def create(self) -> bool:
        """Make the store where there has never been one, and give one of before an identity; true if it is new.

        Raises `OptOutStoreUnavailable` where there was one.
        """
        is_new = self._markers.read() is None and not self.exists()
        if self._markers.read() is None:
            with self._named_errors():
                engine = open_engine(self._url)
                create_tables(engine, METADATA)
                with engine.connect() as connection, connection.begin():
                    store_identity.begin(connection, IDENTITY, OPT_OUTS)
                engine.dispose()
        self._counted = False
        with self._question(writes=True) as (connection, _):
            prune(connection)
        self._keep_up()
        return is_new

    def was_there(self) -> bool:
        """Whether the marker speaks of a store."""
        return self._markers.read() is not None

    def marker_or_none(self) -> Marker | None:
        """What the marker says, if it can be read."""
        try:
            return self._markers.read()
        except OptOutStoreUnavailable:
            return None

    def adopt(self, marker: Marker) -> dict[SubjectType, frozenset[str]]:
        """Go on with a store that was put in the place of the old one. Returns what items and creators were last known
        as opted out."""
        known = self._last_known.get()
        self.close()
        self._engine, self._read, self._counted = None, None, False
        with self._named_errors():
            self._markers.replace(marker)
        self._keep_up()
        return {SubjectType.ITEM: known.items, SubjectType.CREATOR: known.creators}

    def exists(self) -> bool:
        """Whether the database has the table of opt-outs, whole or not."""
        try:
            with self._transaction() as connection:
                return bool(inspect(connection).has_table(OPT_OUTS.name))
        except OptOutStoreUnavailable:
            return False

    def check(self) -> Identity | None:
        """Count the rows as well; `None` for a store of before stores had an identity."""
        self._counted = False
        with self._question() as (_, identity):
            return identity

    def snapshot(self) -> Snapshot:
        """Everything that is kept, of one instant."""
        t = OPT_OUTS.c
        everything = select(t.subject_type, t.subject_id, t.flag, t.opted_out, t.effective_at)
        with self._question(writes=True) as (connection, identity):  # no writer in between the two questions
            if identity:
                store_identity.count(connection, IDENTITY, 0, withheld=0)
            rows = connection.execute(everything.order_by(*OPT_OUTS.primary_key)).all()
        words = tuple(OptOut(SubjectType(kind), name, Flag(flag), said, at) for kind, name, flag, said, at in rows)
        return Snapshot(identity.marker if identity else None, words)

    def flags(self, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
        """The flags in force for one subject."""
        with self._question() as (connection, _):
            return flags_of(in_force(connection, about(subject_type, [subject_id])))

    def subjects(self, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
        """Every subject of a type that has at least one of `flags` in force, in both spellings of its id."""
        asked = and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.flag.in_(list(flags)))
        with self._question() as (connection, _):
            return spelled(subject for _, subject, _ in in_force(connection, asked))

    def among(self, subject_type: SubjectType, ids: Iterable[str], flags: Iterable[Flag]) -> frozenset[str]:
        """Those of `ids` that have at least one of `flags` in force, however many others have."""
        wanted, asked = OPT_OUTS.c.flag.in_(list(flags)), list(dict.fromkeys(ids))
        with self._question() as (connection, _):
            found = [
                subject
                for some in batched(asked, AT_ONCE)
                for _, subject, _ in in_force(connection, and_(about(subject_type, some), wanted))
            ]
        return spelled(found) & frozenset(asked)

    def standing(self, user_id: str | None) -> Standing:
        """What a feed must respect; without a user, what holds for everybody."""
        with self._question() as (connection, identity):
            own = [] if user_id is None else in_force(connection, about(SubjectType.USER, [user_id]))
            last = self._read
            read = last if last and last.holds(identity) else read_withheld(connection, identity)
        if read is not last:
            self._remember(read)
        return Standing(flags_of(own), read.withheld.items, read.withheld.creators)

    def last_known(self) -> Standing:
        """The items and creators to leave out while the store cannot be read."""
        known = self._last_known.get()
        return Standing(frozenset(), known.items, known.creators)

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
        subject = subject_of(subject_type)
        known_id = stored_id(subject, subject_id)
        with self._question() as (connection, _):
            words = newest(connection, about(subject, [known_id]))
        return [OptOut(subject, known_id, Flag(key[2]), said, at) for key, (said, at) in sorted(words.items())]

    def coming(self, subject_type: str, subject_id: str) -> list[OptOut]:
        """The words about one subject that do not hold yet, the next one first."""
        subject, t = subject_of(subject_type), OPT_OUTS.c
        known_id = stored_id(subject, subject_id)
        later = select(t.flag, t.opted_out, t.effective_at).where(about(subject, [known_id]), ~holds(datetime.now(UTC)))
        with self._question() as (connection, _):
            rows = connection.execute(later.order_by(t.effective_at, t.flag)).all()
        return [OptOut(subject, known_id, Flag(flag), said, at) for flag, said, at in rows]

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Import many words; of each subject and flag the newest `effective_at` wins. Returns how many were read."""
        words: dict[tuple[Key, datetime], bool] = {}
        for word in (read := list(opt_outs)):
            subject, flag = checked(word.subject_type, word.flag)
            slot = ((subject, stored_id(subject, word.subject_id), flag), as_utc(word.effective_at))
            words[slot] = words.get(slot, False) or word.opted_out  # said both ways at one instant: out
        withheld = sum(key[2] == Flag.RECOMMENDATION for key, _ in words)
        with self._question(writes=True) as (connection, identity):
            if identity:
                store_identity.count(connection, IDENTITY, len(words), withheld=withheld)
            before = count_rows(connection)
            insert_words(connection, [row_of(key, at, opted_out=said) for (key, at), said in words.items()])
            if identity:
                store_identity.hold(connection, IDENTITY, count_rows(connection) - before)
                prune(connection)
        self._keep_up()
        return len(read)

    def _say(self, subject_type: str, subject_id: str, flag: str, *, opted_out: bool) -> OptOut:
        subject, known = checked(subject_type, flag)
        known_id, withheld = stored_id(subject, subject_id), int(known is Flag.RECOMMENDATION)
        with self._question(writes=True) as (connection, identity):
            if identity:
                store_identity.count(connection, IDENTITY, 1, withheld=withheld)
            # the instant follows the lock: of two writers, who is last in has the later word
            word = OptOut(subject, known_id, known, opted_out, datetime.now(UTC))
            before = delete(OPT_OUTS).where(about(subject, [known_id]), OPT_OUTS.c.flag == known)
            replaced = connection.execute(before).rowcount
            insert_words(connection, [row_of((subject, known_id, known), word.effective_at, opted_out=opted_out)])
            if identity:
                store_identity.hold(connection, IDENTITY, 1 - replaced)
        self._keep_up()
        return word

    def _keep_up(self) -> None:
        """Note outside what was just committed, before it is acknowledged."""
        with self._question() as (connection, identity):
            last = self._read
            read = last if last and last.holds(identity) else read_withheld(connection, identity)
        if identity:
            with self._named_errors():
                self._markers.advance(identity.marker)
                self._save(read)

    def _remember(self, read: WithheldRead) -> None:
        try:
            self._save(read)
        except OSError as error:  # a server may run where it cannot write; it goes on with what it has in memory
            LOG.warning("the withheld items and creators were not kept beside the releases (%s)", error.strerror)

    def _save(self, read: WithheldRead) -> None:
        self._last_known.seen = read.withheld
        if not read.identity:  # of a store of before stores had one
            return
        self._read = read
        if self._last_known.differs(read.withheld, identity=read.identity, words=read.words):
            with self._markers.locked():
                self._last_known.save(read.withheld, identity=read.identity, words=read.words)

    @contextmanager
    def _question(self, *, writes: bool = False) -> Iterator[tuple[Connection, Identity | None]]:
        """A transaction on the store that the marker speaks of."""
        marker = self._markers.read()  # first: a write in between puts the store ahead of it, and never behind
        with self._transaction(writes=writes) as connection:
            identity = self._identity(connection)
            problem = identity.problem(marker, counted=not self._counted) if identity else None
            if identity is None and marker is not None:
                problem = "is older than what was kept in it, or empty"
            if problem:
                raise self._cannot_be_used(problem)
            yield connection, identity
        self._counted = True

    def _identity(self, connection: Connection) -> Identity | None:
        if not self._has_identity and not inspect(connection).has_table(IDENTITY.name):
            return None
        self._has_identity = True
        found = store_identity.read(connection, IDENTITY, OPT_OUTS, counted=not self._counted)
        if found is None:
            raise self._cannot_be_used("was emptied")
        return found
