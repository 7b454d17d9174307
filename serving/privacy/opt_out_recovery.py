"""What survives the loss of the opt-out store: its marker, the last known exclusions, and the restore of a backup.

The marker is a small file in the lake's folder and in the folder of releases. It names the store's identity and how
many changes were ever written. It is written after the store's commit and before a write is acknowledged. A kill in
between leaves a marker that is behind the store, never one that is ahead of it. So a lost or older store is never
mistaken for an empty one.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Engine, delete, inspect, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from contracts.atomic_files import read_regular, replace_file
from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import OptOut
from contracts.switches import Switches
from serving.privacy.admin_tables import METADATA
from serving.privacy.opt_out_tables import (
    IDENTITY,
    OPT_OUTS,
    CachedExclusions,
    Exclusions,
    Key,
    Marker,
    create_identity,
    insert_records,
    read_identity,
)
from serving.stores.sql_store import DATABASE_ERRORS, cause, create_tables, open_engine, without_password

LOG = logging.getLogger("tastefeed.opt_out_recovery")
MARKER_FILE = ".opt_out_store.json"
EXCLUSIONS_FILE = ".withheld.json"
LOCK = ".opt_out_store.lock"
LOCK_TIMEOUT_S, LOCK_POLL_S = 10, 0.005
MAX_MARKER_BYTES, MAX_EXCLUSIONS_BYTES = 1 << 16, 1 << 30
SQLITE_FILES = ("", "-wal", "-shm")
Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class Snapshot:
    """The content of the store at one instant. A store from before stores had an identity has no marker."""

    marker: Marker | None
    records: tuple[OptOut, ...]


class MarkerFiles:
    """The marker in each of some folders."""

    def __init__(self, folders: Sequence[Path], *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Neither reads nor creates anything yet."""
        self._folders, self._lock_timeout_s = tuple(folders), lock_timeout_s
        self._read: dict[str, tuple[Stamp, Marker]] = {}
        self._paths = [str(folder / MARKER_FILE) for folder in folders]

    def read(self) -> Marker | None:
        """The latest recorded state; `None` where there was never a store. Raises `OptOutStoreUnavailable`."""
        markers = [marker for path in self._paths if (marker := self._marker(path))]
        if len({marker.identity for marker in markers}) > 1:
            raise OptOutStoreUnavailable(
                f"{' and '.join(self._paths)} name different opt-out stores; run `tastefeed opt-out restore`"
            )
        return max(markers, key=lambda marker: marker.changes, default=None)

    def advance(self, marker: Marker) -> None:
        """Record a newer state, durably; an older one changes nothing. Raises `OptOutStoreUnavailable`."""
        with self.locked():
            recorded = self.read()
            if recorded and recorded.identity != marker.identity:
                raise OptOutStoreUnavailable("the opt-out store was replaced in the meantime; ask again")
            if recorded and recorded.changes >= marker.changes:
                marker = recorded
            for folder in self._folders:
                if _read_marker(folder / MARKER_FILE) != marker:
                    replace_file(folder / MARKER_FILE, marker.model_dump_json().encode())

    def replace(self, marker: Marker) -> None:
        """Record another store than before."""
        with self.locked():
            for folder in self._folders:
                replace_file(folder / MARKER_FILE, marker.model_dump_json().encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes these files."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folders[0] / LOCK, timeout=self._lock_timeout_s, poll_interval=LOCK_POLL_S):
            yield

    def _marker(self, path: str) -> Marker | None:
        """The marker of one file, which is read where it changed: each feed asks for it."""
        stamp, known = _stamp(path), self._read.get(path)
        if known is None or known[0] != stamp:
            if (marker := _read_marker(Path(path))) is None:
                return None
            if stamp is not None:
                self._read[path] = stamp, marker
            return marker
        return known[1]


def _stamp(path: str) -> Stamp:
    """What differs once a file was replaced, written to, or made unreadable."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_size


def _read_marker(path: Path) -> Marker | None:
    try:
        return Marker.model_validate_json(read_regular(path, max_bytes=MAX_MARKER_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise OptOutStoreUnavailable(
            f"{path}: cannot be read, so it is unknown whether the opt-out store is whole; correct it, or run "
            "`tastefeed opt-out restore`"
        ) from None


class _ExclusionsFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    identity: str
    changes: int = Field(alias="words")
    items: list[str]
    creators: list[str]
    switches: dict[str, str] = {}

    @cached_property
    def exclusions(self) -> Exclusions:
        """As sets."""
        return Exclusions(frozenset(self.items), frozenset(self.creators), Switches.of(self.switches))


class LastKnownExclusions:
    """The excluded items and creators, and the switches, in a file beside the releases. It is read only while the store
    cannot be read."""

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet. `seen` is what this process last read from the store."""
        self._path = folder / EXCLUSIONS_FILE
        self.seen = Exclusions()
        self._file: _ExclusionsFile | None = None
        self._stamp: tuple[int, int, int] | None = None

    def get(self) -> Exclusions:
        """The union of what this process and the file hold: where they differ, the opt-outs win."""
        recorded = self._read()
        if recorded is None:
            return self.seen
        items, creators = self.seen.items.union(recorded.items), self.seen.creators.union(recorded.creators)
        return Exclusions(items, creators, self.seen.switches.union(recorded.exclusions.switches))

    def differs(self, state: CachedExclusions) -> bool:
        """Whether a state of the store differs from the file's and is not older."""
        recorded = self._read()
        if recorded is None or recorded.identity != state.identity:
            return True
        return recorded.changes <= state.changes and recorded.exclusions != state.exclusions

    def save(self, state: CachedExclusions) -> None:
        """Write a state, unless the file holds a later one of the same store. Raises `OSError`."""
        if self.differs(state):
            items, creators = sorted(state.exclusions.items), sorted(state.exclusions.creators)
            new = _ExclusionsFile(
                identity=state.identity,
                changes=state.changes,
                items=items,
                creators=creators,
                switches=state.exclusions.switches.values,
            )
            replace_file(self._path, new.model_dump_json(exclude_defaults=True).encode())

    def _read(self) -> _ExclusionsFile | None:
        try:
            status = self._path.stat()
            stamp = status.st_ino, status.st_mtime_ns, status.st_size
            if stamp != self._stamp:
                content = read_regular(self._path, max_bytes=MAX_EXCLUSIONS_BYTES)
                self._file, self._stamp = _ExclusionsFile.model_validate_json(content), stamp
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            LOG.error("%s cannot be read; the next state of the opt-out store replaces it", self._path)
            return None
        return self._file


def identity_behind(url: str) -> tuple[str, int] | None:
    """The identity and the number of changes of the store behind a URL; `None` where there is no store."""
    engine = open_engine(url, create=False)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(IDENTITY.name):
                return None
            row = connection.execute(select(IDENTITY.c.identity, IDENTITY.c.words)).one_or_none()
            return (row.identity, row.words) if row else None
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def replace_store(url: str, records: Iterable[OptOut]) -> Marker:
    """Replace the content of the store by exactly these records, under a new identity. An existing SQLite file is moved
    aside. If the lost store turns up again, its old identity makes it refused.

    Raises `OptOutStoreUnavailable` where the database cannot be written.
    """
    try:
        if make_url(url).get_backend_name() == "sqlite":
            return _replace_sqlite_file(Path(make_url(url).database or ""), records)
        return _fill(open_engine(url), records)
    except DATABASE_ERRORS as error:
        raise OptOutStoreUnavailable(
            f"the opt-out store {without_password(url)} cannot be restored ({cause(error)})"
        ) from None


def _replace_sqlite_file(path: Path, records: Iterable[OptOut]) -> Marker:
    fresh = path.with_name(f"{path.name}.{uuid4().hex}")
    marker = _fill(open_engine(f"sqlite:///{fresh}"), records)
    aside = f"{path}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    for ending in SQLITE_FILES:
        if os.path.exists(f"{path}{ending}"):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
    os.replace(fresh, path)
    return marker


def _fill(engine: Engine, records: Iterable[OptOut]) -> Marker:
    create_tables(engine, METADATA)
    rows: dict[tuple[Key, datetime], bool] = {
        ((r.subject_type, r.subject_id, r.flag), r.effective_at): r.opted_out for r in records
    }
    with engine.begin() as connection:
        connection.execute(delete(IDENTITY))
        connection.execute(delete(OPT_OUTS))
        insert_records(connection, rows)
        create_identity(connection)
        store = read_identity(connection, counted=True)
    engine.dispose()
    if store is None:
        raise OptOutStoreUnavailable("the opt-out store was emptied while it was restored; restore it again")
    return store.marker
