"""Putting a backup in the place of a lost opt-out store.

The restored store gets an identity of its own: if the lost one turns up again, it is refused as another store.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, delete, inspect, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import OptOut
from serving.privacy import store_identity
from serving.privacy.opt_out_tables import IDENTITY, METADATA, OPT_OUTS, insert_words, row_of
from serving.privacy.store_marker import Marker
from serving.sql_store import cause, create_tables, open_engine, shown

SQLITE_FILES = ("", "-wal", "-shm")


def found_identity(url: str) -> tuple[str, int] | None:
    """The identity and the number of words of whatever store lies behind a URL; `None` where there is none."""
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


def replace_store(url: str, words: Iterable[OptOut]) -> Marker:
    """Make the store hold exactly these words, under a new identity. A SQLite file that is there is moved aside.

    Raises `OptOutStoreUnavailable` where the database cannot be written.
    """
    try:
        if make_url(url).get_backend_name() == "sqlite":
            return _replace_file(Path(make_url(url).database or ""), words)
        return _fill(open_engine(url), words)
    except (SQLAlchemyError, OSError) as error:
        raise OptOutStoreUnavailable(f"the opt-out store {shown(url)} cannot be restored ({cause(error)})") from None


def _replace_file(path: Path, words: Iterable[OptOut]) -> Marker:
    fresh = path.with_name(f"{path.name}.{uuid4().hex}")
    marker = _fill(open_engine(f"sqlite:///{fresh}"), words)
    aside = f"{path}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    for ending in SQLITE_FILES:
        if os.path.exists(f"{path}{ending}"):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
    os.replace(fresh, path)
    return marker


def _fill(engine: Engine, words: Iterable[OptOut]) -> Marker:
    create_tables(engine, METADATA)
    rows = [
        row_of((word.subject_type, word.subject_id, word.flag), word.effective_at, opted_out=word.opted_out)
        for word in words
    ]
    with engine.begin() as connection:
        connection.execute(delete(IDENTITY))
        connection.execute(delete(OPT_OUTS))
        insert_words(connection, rows)
        store_identity.begin(connection, IDENTITY, OPT_OUTS)
        found = store_identity.read(connection, IDENTITY, OPT_OUTS, counted=True)
    engine.dispose()
    if found is None:
        raise OptOutStoreUnavailable("the opt-out store was emptied while it was restored; restore it again")
    return found.marker
