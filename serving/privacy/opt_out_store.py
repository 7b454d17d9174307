"""Opt-outs in SQL: durable before a write returns, and read anew for each request.

`set` and `clear` replace all earlier records of the flag. Which record counts is in `opt_out_records`. A store that
existed before and is now missing, empty, older or another one is unavailable; it is never treated as empty
(`store_identity`, `marker_files`). Only `create` makes one.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, inspect

from contracts import Settings
from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import Flag, OptOut, SubjectType, checked
from contracts.switches import Switches
from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.audit_rows import AuditRow
from serving.privacy.exclusions import CachedExclusions, read_exclusions
from serving.privacy.flag_changes import FlagChange, apply_changes
from serving.privacy.grouped_writes import GroupedWrites
from serving.privacy.last_known_exclusions import LastKnownExclusions
from serving.privacy.marker_files import LOCK_TIMEOUT_S, MarkerFiles
from serving.privacy.opt_out_records import (
    active_flags,
    all_records,
    checked_records,
    concerns,
    insert_records,
    later_records,
    newest_active,
    opted_out_among,
    opted_out_subjects,
    prune,
)
from serving.privacy.opt_out_recovery import Snapshot
from serving.privacy.opt_out_tables import IDENTITY, METADATA, OPT_OUTS
from serving.privacy.store_identity import (
    Marker,
    StoreIdentity,
    add_changes,
    add_expected_rows,
    count_records,
    create_identity,
    read_identity,
)
from serving.privacy.subject_ids import stored_id, subject_type_of
from serving.stores.circuit_breaker import Use
from serving.stores.point_reads import PointConnection, has_table
from serving.stores.sql_store import SqlStore, create_tables, open_engine

LOG = logging.getLogger("tastefeed.opt_outs")
C = TypeVar("C", bound=PointConnection)


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
                    create_identity(connection)
                engine.dispose()
        self._is_counted = False
        with self.checked_transaction(writes=True) as (connection, _):
            prune(connection)
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
        with self.checked_transaction(writes=True) as (connection, store):  # no writer in between the two queries
            if store:
                add_changes(connection, 0, exclusions=0)
            return Snapshot(store.marker if store else None, all_records(connection))

    def flags(self, subject_type: SubjectType, subject_id: str) -> frozenset[Flag]:
        """The active flags of one subject."""
        with self.checked_transaction() as (connection, _):
            return active_flags(connection, subject_type, subject_id)

    def subjects(self, subject_type: SubjectType, flags: Iterable[Flag]) -> frozenset[str]:
        """Every subject of a type that has at least one of `flags` active, in both spellings of its id."""
        with self.checked_transaction(use=Use.BULK_READ) as (connection, _):
            return opted_out_subjects(connection, subject_type, flags)

    def among(self, subject_type: SubjectType, ids: Iterable[str], flags: Iterable[Flag]) -> frozenset[str]:
        """Those of `ids` that have at least one of `flags` active. The cost depends on `ids` alone."""
        with self.checked_transaction(use=Use.BULK_READ) as (connection, _):
            return opted_out_among(connection, subject_type, ids, flags)

    def active(self, user_id: str | None) -> ActiveOptOuts:
        """The opt-outs that a feed must respect; without a user, those that hold for all users."""
        with self._checked(self._point_transaction()) as (connection, store):
            own = active_flags(connection, SubjectType.USER, user_id) if user_id is not None else frozenset()
        current = self._cache
        if current is None or not current.is_valid(store):
            with self.checked_transaction() as (whole, store):
                current = read_exclusions(whole, store)
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
        subject = subject_type_of(subject_type)
        id_ = stored_id(subject, subject_id)
        with self.checked_transaction() as (connection, _):
            records = newest_active(connection, concerns(subject, [id_]))
        return [OptOut(subject, id_, Flag(key[2]), out, at) for key, (out, at) in sorted(records.items())]

    def coming(self, subject_type: str, subject_id: str) -> list[OptOut]:
        """The records of one subject that are not active yet, the next one first."""
        subject = subject_type_of(subject_type)
        with self.checked_transaction() as (connection, _):
            return later_records(connection, subject, stored_id(subject, subject_id))

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Insert many records, all or none. Returns how many were given."""
        given = list(opt_outs)
        records = checked_records(given)
        exclusions = sum(key[2] == Flag.RECOMMENDATION for key, _ in records)
        with self.checked_transaction(writes=True) as (connection, store):
            if store:
                add_changes(connection, len(records), exclusions=exclusions)
            before = count_records(connection)
            insert_records(connection, records)
            if store:
                add_expected_rows(connection, count_records(connection) - before)
                prune(connection)
        self.record_outside()
        return len(given)

    def _change(
        self, subject_type: str, subject_id: str, flag: str, entry: AuditRow | None, *, opted_out: bool
    ) -> OptOut:
        subject, name = checked(subject_type, flag)
        change = FlagChange(subject, stored_id(subject, subject_id), name, opted_out, entry)
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
        return cached if cached and cached.is_valid(store) else read_exclusions(connection, store)

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
    def checked_transaction(
        self, *, writes: bool = False, use: Use = Use.READ
    ) -> Iterator[tuple[Connection, StoreIdentity | None]]:
        """A transaction on the store that the marker names."""
        with self._checked(self._transaction(writes=writes, use=use)) as checked:
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
        if not self._has_identity and not has_table(connection, IDENTITY.name):
            return None
        self._has_identity = True
        store = read_identity(connection, counted=not self._is_counted)
        if store is None:
            raise self._cannot_be_used("was emptied")
        return store
