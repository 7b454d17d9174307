"""Opt-outs in SQL: durable before a write returns, and read anew for each request.

The table keeps a record for each change of a flag of a subject, with the instant from which it is active. The newest
active record counts. An opt-out is active up to a day before its `effective_at`, because a client in another time zone
may have meant now. `set` and `clear` replace all earlier records of the flag. `42` and `42.0` are one subject
(`contracts.ids`).

A store that existed before and is now missing, empty, older or another one is unavailable; it is never treated as empty
(`opt_out_tables`, `opt_out_recovery`). Only `create` makes one.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, and_, inspect, select

from contracts import Settings
from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import Flag, OptOut, SubjectType, checked
from contracts.switches import Switches
from serving.privacy import opt_out_tables as tables
from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.admin_tables import METADATA, AuditRow
from serving.privacy.flag_changes import FlagChange, apply_changes
from serving.privacy.grouped_writes import GroupedWrites
from serving.privacy.opt_out_recovery import LOCK_TIMEOUT_S, LastKnownExclusions, MarkerFiles, Snapshot
from serving.privacy.opt_out_tables import OPT_OUTS, CachedExclusions, Key, Marker, StoreIdentity
from serving.stores.point_reads import PointConnection, has_table
from serving.stores.sql_instants import as_utc
from serving.stores.sql_store import SqlStore, batched, create_tables, open_engine

LOG = logging.getLogger("tastefeed.opt_outs")
C = TypeVar("C", bound=PointConnection)
IDS_PER_QUERY = 1000
"""Databases limit the number of variables of a query."""


class OptOutStore(SqlStore):
    """The opt-outs behind one SQLAlchemy URL; implements `contracts.OptOutReader`.

    Every method raises `OptOutStoreUnavailable` where the database cannot be read or written, or is not the store that
    the marker names. Methods that take a subject's id raise `BadId`.
    """

    metadata = METADATA
    name = "the opt-out store"
    label = "opt_outs"
    unavailable = OptOutStoreUnavailable
    remedy = (
        "run `tastefeed opt-out restore` (or `tastefeed init` where there never was one), or check the file or "
        "TASTEFEED_OPT_OUT_URL; until it can be read, no feed is personalized"
    )
    setting = "TASTEFEED_OPT_OUT_URL"
    creates = False

    def __init__(self, url: str, *, beside: Sequence[Path], wait_s: float | None = None) -> None:
        """`beside` are the folders that keep the marker: the lake's and, last, that of the releases."""
        super().__init__(url, wait_s=wait_s)
        self._markers = MarkerFiles(beside, lock_timeout_s=LOCK_TIMEOUT_S if wait_s is None else wait_s)
        self._last_known = LastKnownExclusions(beside[-1])
        self._changes = GroupedWrites(self._write_changes)
        self._cache: CachedExclusions | None = None
        self._has_identity = self._is_counted = False

    @classmethod
    def of(cls, settings: Settings, *, wait_s: float | None = None) -> "OptOutStore":
        """The store of a lake."""
        return cls(settings.opt_out_dsn, beside=(settings.lake_folder, settings.release_root), wait_s=wait_s)

    def create(self) -> bool:
        """Create the store where there has never been one, and give an old store an identity; true if it is new.

        Raises `OptOutStoreUnavailable` where a store existed and is lost.
        """
        is_new = self._markers.read() is None and not self.exists()
        if self._markers.read() is None:
            with self._named_errors():
                engine = open_engine(self._url)
                create_tables(engine, METADATA)
                with engine.connect() as connection, connection.begin():
                    tables.create_identity(connection)
                engine.dispose()
        self._is_counted = False
        with self.checked_transaction(writes=True) as (connection, _):
            tables.prune(connection)
        self.record_outside()
        return is_new

    def existed(self) -> bool:
        """Whether the marker names a store."""
        return self._markers.read() is not None

    def marker_or_none(self) -> Marker | None:
        """The marker, if it can be read."""
        try:
            return self._markers.read()
        except OptOutStoreUnavailable:
            return None

    def adopt(self, marker: Marker) -> dict[SubjectType, frozenset[str]]:
        """Continue with a store that replaced the lost one. Returns the last known excluded items and creators."""
        last_known = self._last_known.get()
        self.close()
        self._engine, self._cache, self._is_counted, self._has_all_tables = None, None, False, False
        with self._named_errors():
            self._markers.replace(marker)
        self.record_outside()
        return {SubjectType.ITEM: last_known.items, SubjectType.CREATOR: last_known.creators}

    def exists(self) -> bool:
        """Whether the database has the table of opt-outs, whole or not."""
        try:
            with self._transaction() as connection:
                return bool(inspect(connection).has_table(OPT_OUTS.name))
        except OptOutStoreUnavailable:
            return False

    def check(self) -> StoreIdentity | None:
        """Count the records as well; `None` for a store from before stores had an identity."""
        self._is_counted = False
        with self.checked_transaction() as (_, store):
            return store

    def snapshot(self) -> Snapshot:
        """All records, of one instant."""
        t = OPT_OUTS.c
        everything = select(t.subject_type, t.subject_id, t.flag, t.opted_out, t.effective_at)
        with self.checked_transaction(writes=True) as (connection, store):  # no writer in between the two queries
            if store:
                tables.add_changes(connection, 0, exclusions=0)
            rows = connection.execute(everything.order_by(*OPT_OUTS.primary_key)).all()
        records = tuple(OptOut(SubjectType(kind), id_, Flag(flag), out, at) for kind, id_, flag, out, at in rows)
        return Snapshot(store.marker if store else None, records)

    def flags(self, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
        """The active flags of one subject."""
        with self.checked_transaction() as (connection, _):
            return tables.active_flags(connection, subject_type, subject_id)

    def subjects(self, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
        """Every subject of a type that has at least one of `flags` active, in both spellings of its id."""
        condition = and_(OPT_OUTS.c.subject_type == subject_type, OPT_OUTS.c.flag.in_(list(flags)))
        with self.checked_transaction() as (connection, _):
            return tables.all_spellings(subject for _, subject, _ in tables.opted_out_now(connection, condition))

    def among(self, subject_type: SubjectType, ids: Iterable[str], flags: Iterable[Flag]) -> frozenset[str]:
        """Those of `ids` that have at least one of `flags` active. The cost depends on `ids` alone."""
        has_flag, candidates = OPT_OUTS.c.flag.in_(list(flags)), list(dict.fromkeys(ids))
        opted_out: list[Key] = []
        with self.checked_transaction() as (connection, _):
            for some in batched(candidates, IDS_PER_QUERY):
                opted_out += tables.opted_out_now(connection, and_(tables.concerns(subject_type, some), has_flag))
        return tables.all_spellings(subject for _, subject, _ in opted_out) & frozenset(candidates)

    def active(self, user_id: str | None) -> ActiveOptOuts:
        """The opt-outs that a feed must respect; without a user, those that hold for all users."""
        with self._checked(self._point_transaction()) as (connection, store):
            own = tables.active_flags(connection, SubjectType.USER, user_id) if user_id is not None else frozenset()
        current = self._cache
        if current is None or not current.is_valid(store):
            with self.checked_transaction() as (whole, store):
                current = tables.read_exclusions(whole, store)
            self._save_if_writable(current)
        return ActiveOptOuts.of(own, current.exclusions)

    def switches(self) -> Switches:
        """The kill switches that are set."""
        return self.active(None).switches

    def last_known(self) -> ActiveOptOuts:
        """The items and creators to exclude, and the switches, while the store cannot be read."""
        return ActiveOptOuts.of(frozenset(), self._last_known.get())

    def set(self, subject_type: str, subject_id: str, flag: str, entry: AuditRow | None = None) -> OptOut:
        """Opt out, from now on. Durable on return; setting a flag again changes nothing."""
        return self._change(subject_type, subject_id, flag, entry, opted_out=True)

    def clear(self, subject_type: str, subject_id: str, flag: str, entry: AuditRow | None = None) -> OptOut:
        """Withdraw an opt-out, from now on. Durable on return."""
        return self._change(subject_type, subject_id, flag, entry, opted_out=False)

    def get(self, subject_type: str, subject_id: str, flag: str) -> OptOut | None:
        """The active record of one flag; `None` if there never was one."""
        subject, wanted = checked(subject_type, flag)
        return next((record for record in self.show(subject, subject_id) if record.flag == wanted), None)

    def show(self, subject_type: str, subject_id: str) -> list[OptOut]:
        """The active records of one subject, at most one a flag. Raises `UnknownOptOut`."""
        subject = tables.subject_type_of(subject_type)
        id_ = tables.stored_id(subject, subject_id)
        with self.checked_transaction() as (connection, _):
            records = tables.newest_active(connection, tables.concerns(subject, [id_]))
        return [OptOut(subject, id_, Flag(key[2]), out, at) for key, (out, at) in sorted(records.items())]

    def coming(self, subject_type: str, subject_id: str) -> list[OptOut]:
        """The records of one subject that are not active yet, the next one first."""
        subject, t = tables.subject_type_of(subject_type), OPT_OUTS.c
        id_ = tables.stored_id(subject, subject_id)
        later = select(t.flag, t.opted_out, t.effective_at).where(
            tables.concerns(subject, [id_]), ~tables.is_active(datetime.now(UTC))
        )
        with self.checked_transaction() as (connection, _):
            rows = connection.execute(later.order_by(t.effective_at, t.flag)).all()
        return [OptOut(subject, id_, Flag(flag), out, at) for flag, out, at in rows]

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Insert many records, all or none. Returns how many were given."""
        records: dict[tuple[Key, datetime], bool] = {}
        for record in (given := list(opt_outs)):
            subject, flag = checked(record.subject_type, record.flag)
            slot = ((subject, tables.stored_id(subject, record.subject_id), flag), as_utc(record.effective_at))
            records[slot] = records.get(slot, False) or record.opted_out  # of a contradiction, the opt-out wins
        exclusions = sum(key[2] == Flag.RECOMMENDATION for key, _ in records)
        with self.checked_transaction(writes=True) as (connection, store):
            if store:
                tables.add_changes(connection, len(records), exclusions=exclusions)
            before = tables.count_records(connection)
            tables.insert_records(connection, records)
            if store:
                tables.add_expected_rows(connection, tables.count_records(connection) - before)
                tables.prune(connection)
        self.record_outside()
        return len(given)

    def _change(
        self, subject_type: str, subject_id: str, flag: str, entry: AuditRow | None, *, opted_out: bool
    ) -> OptOut:
        subject, name = checked(subject_type, flag)
        change = FlagChange(subject, tables.stored_id(subject, subject_id), name, opted_out, entry)
        if entry:
            self.add_missing_tables()
        return self._changes.write(change)

    def _write_changes(self, changes: Sequence[FlagChange]) -> Sequence[OptOut]:
        with self.checked_transaction(writes=True) as (connection, store):
            records = apply_changes(connection, store, changes)
        self.record_outside()
        return records

    def _current_exclusions(self, connection: Connection, store: StoreIdentity | None) -> CachedExclusions:
        cached = self._cache
        return cached if cached and cached.is_valid(store) else tables.read_exclusions(connection, store)

    def record_outside(self) -> None:
        """Record outside the store what was just committed, before it is acknowledged."""
        with self.checked_transaction() as (connection, store):
            current = self._current_exclusions(connection, store)
        if store:
            with self._named_errors():
                self._markers.advance(store.marker)
                self._save(current)

    def _save_if_writable(self, current: CachedExclusions) -> None:
        try:
            self._save(current)
        except OSError as error:  # a server may run where it cannot write; it continues with its memory
            LOG.warning("the excluded items and creators were not saved beside the releases (%s)", error.strerror)

    def _save(self, current: CachedExclusions) -> None:
        self._last_known.seen = current.exclusions
        if not current.identity:  # a store from before stores had one
            return
        self._cache = current
        if self._last_known.differs(current):
            with self._markers.locked():
                self._last_known.save(current)

    @contextmanager
    def checked_transaction(self, *, writes: bool = False) -> Iterator[tuple[Connection, StoreIdentity | None]]:
        """A transaction on the store that the marker names."""
        with self._checked(self._transaction(writes=writes)) as checked:
            yield checked

    @contextmanager
    def _checked(self, transaction: AbstractContextManager[C]) -> Iterator[tuple[C, StoreIdentity | None]]:
        marker = self._markers.read()  # first: a write in between puts the store ahead of the marker, never behind it
        with transaction as connection:
            store = self._read_identity(connection)
            problem = store.problem(marker, counted=not self._is_counted) if store else None
            if store is None and marker is not None:
                problem = "is older than what was written to it, or empty"
            if problem:
                raise self._cannot_be_used(problem)
            yield connection, store
        self._is_counted = True

    def _read_identity(self, connection: PointConnection) -> StoreIdentity | None:
        if not self._has_identity and not has_table(connection, tables.IDENTITY.name):
            return None
        self._has_identity = True
        store = tables.read_identity(connection, counted=not self._is_counted)
        if store is None:
            raise self._cannot_be_used("was emptied")
        return store
