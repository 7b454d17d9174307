"""Connections to an SQLite file that a server keeps between requests, with the guarantees of new ones.

A kept connection must not answer for a file that was lost, replaced or overwritten. So before each use the files that
the path names are compared with those that were opened, and SQLite forgets the pages that it has read. A server without
requests has no file open: other programs can then lock, copy or replace the database.
"""

import os
import sqlite3
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

KEPT = 8
"""Connections that wait for the next request; others are closed after use."""
IDLE_S = 0.5
"""All connections are closed after this time without a request."""
SQLITE_FILES = ("", "-wal", "-shm")
OPENED_FILE, OPENED_FILES = "file", "files"
Inode = tuple[int, int] | None


def check_before_use(engine: Engine, database: str) -> None:
    """Replace a pooled connection whose files are no longer those at their path, and close idle ones."""
    event.listen(engine, "do_connect", partial(_before_opening, database))
    event.listen(engine, "checkout", partial(_before_use, database))
    event.listen(engine, "checkout", IdleConnections(engine).used)


class IdleConnections:
    """Closes the pooled connections of an engine when no request has used one for `IDLE_S`."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is open yet."""
        self._engine, self._used_at, self._is_waiting = engine, 0.0, False

    def used(self, _connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        """A request uses a connection."""
        self._used_at = time.monotonic()
        if not self._is_waiting:
            self._is_waiting = True
            self._wait()

    def _wait(self) -> None:
        timer = threading.Timer(IDLE_S, self._close)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the process has too many threads, or ends
            self._is_waiting = False

    def _close(self) -> None:
        if time.monotonic() - self._used_at < IDLE_S:
            self._wait()
            return
        self._is_waiting = False
        self._engine.pool.dispose()  # the pool stays in use: a new one would let only one thread at a time connect


def empty_log(connection: Connection) -> None:
    """Move what was committed from SQLite's log to the database, and empty the log. The last connection to close would
    do so. Deleted rows then leave both files, and a copy of the database is complete. Readers can delay it."""
    with suppress(sqlite3.Error):  # the commit is durable without it
        connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def read_only_mode(path: Path) -> str:
    """In WAL mode SQLite writes beside the database even to read it. `immutable` reads the database file alone, which
    is complete as long as no writer, for example of another machine, has a `-wal` file beside it."""
    return "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"


def _before_opening(
    database: str, _dialect: Dialect, record: ConnectionPoolEntry, _arguments: list[Any], _options: dict[str, Any]
) -> None:
    record.info[OPENED_FILE] = _inode(database)


def _before_use(
    database: str, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    if OPENED_FILES not in record.info:
        record.info[OPENED_FILES] = _opened_files(database, connection, record.info[OPENED_FILE])
    if _inodes(database) != record.info[OPENED_FILES]:
        raise DisconnectionError("the file was replaced")  # the pool then opens a new connection
    connection.cursor().execute("PRAGMA shrink_memory")


def _opened_files(database: str, connection: DBAPIConnection, file: Inode) -> tuple[Inode, ...] | None:
    connection.cursor().execute("SELECT 1 FROM sqlite_master").fetchall()  # opens the files beside the database
    files = _inodes(database)
    return files if file in (None, files[0]) else None  # a missing file was created


def _inodes(database: str) -> tuple[Inode, ...]:
    return tuple(_inode(f"{database}{ending}") for ending in SQLITE_FILES)


def _inode(path: str) -> Inode:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
