"""Recovers the opt-out store: reads the identity behind a URL, and replaces a lost store by the records of a backup."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, delete, inspect, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import OptOut
from serving.privacy.opt_out_records import Key, insert_records
from serving.privacy.opt_out_tables import IDENTITY, METADATA, OPT_OUTS
from serving.privacy.store_identity import Marker, create_identity, read_identity
from serving.stores.sql_store import DATABASE_ERRORS, cause, create_tables, open_engine, without_password

SQLITE_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True)
class Snapshot:
    """The content of the store at one instant. A store from before stores had an identity has no marker."""

    marker: Marker | None
    records: tuple[OptOut, ...]


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
