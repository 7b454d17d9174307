"""The base of the two SQL stores: an engine that is durable and safe with many workers."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from contracts.errors import TastefeedError
from serving.stores.circuit_breaker import CircuitBreaker, Use
from serving.stores.point_reads import PointConnection, point_transaction
from serving.stores.sqlite_pool import KEPT, check_before_use, empty_log, read_only_mode
from serving.stores.store_metrics import StoreCall, ignore_call

BUSY_TIMEOUT_S = 10
"""How long a command waits for SQLite's locks; a server gives a shorter time."""
CONNECT_TIMEOUT_S = 2
"""The least that PostgreSQL's client library accepts."""
ANSWER_BOUNDS = 2
"""For how many times the bound a caller waits for PostgreSQL: its own error comes first, and keeps the connection."""
WRITERS_AHEAD = 8
"""For how many times the bound a writer waits for the writers of its own process."""
PRIVATE = 0o600
CREATION_LOCK = 7_461_737_465
"""The advisory lock under which tables are created in PostgreSQL; an arbitrary number."""
DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, OSError)
"""SQLAlchemy does not wrap the errors of a raw connection, which sets the mode of an SQLite file."""
NO_POOL: dict[str, Any] = {"poolclass": NullPool}
POOL: dict[str, Any] = {"pool_size": KEPT, "max_overflow": -1, "pool_use_lifo": True}
PASSING = ("is locked", "disk I/O error", "is full")
"""Errors of SQLite that leave the file whole: nothing may be restored for them."""
AFTER_PASSING = "wait for the program that uses it, or free space on its disk, and try again"
WRITES = "tastefeed_writes"
"""The execution option of a connection that will write."""


def open_engine(url: str, *, create: bool = True, wait_s: float | None = None) -> Engine:
    """An engine whose messages never contain a value, because values are ids. SQLite runs in WAL mode, syncs at each
    commit and overwrites deleted rows. Without `create`, a missing SQLite file is an error. A read-only file is opened
    for reading. `wait_s` bounds the wait for a lock, and in PostgreSQL for a statement and a connection of the pool."""
    if make_url(url).get_backend_name() != "sqlite":
        return _server_engine(url, wait_s)
    if create and (database := make_url(url).database):
        _create_private(Path(database))
    timeout = {"timeout": BUSY_TIMEOUT_S if wait_s is None else wait_s}
    path = make_url(url).database or ":memory:"
    is_pooled = wait_s is not None and not path.startswith((":", "file:"))
    engine = create_engine(url, hide_parameters=True, connect_args=timeout, **(POOL if is_pooled else NO_POOL))
    event.listen(engine, "connect", _durable_with_secure_delete)
    event.listen(engine, "begin", _begin)
    if is_pooled:
        check_before_use(engine, path)
    event.listen(engine, "do_connect", partial(_as_permitted, create=create))
    return engine


def _server_engine(url: str, wait_s: float | None) -> Engine:
    if wait_s is None or not make_url(url).get_driver_name().startswith("psycopg"):
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    timeout = {"connect_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_timeout=wait_s, connect_args=timeout)
    event.listen(engine, "connect", partial(_limit_statements, milliseconds=round(1000 * wait_s)))
    if engine.driver == "psycopg":
        from serving.stores.bounded_answers import bound_answers  # noqa: PLC0415  psycopg is optional

        bound_answers(engine, ANSWER_BOUNDS * wait_s)
    return engine


def is_read_only(url: str) -> bool:
    """Whether a URL names an SQLite file that exists, and that this user cannot write to."""
    location = make_url(url)
    path = Path(location.database or "")
    if location.get_backend_name() != "sqlite" or not path.is_file():
        return False
    return not (os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK))


def _create_private(database: Path) -> None:
    """Create an empty database that only its owner may read. SQLite gives its other files the same mode."""
    database.parent.mkdir(parents=True, exist_ok=True)
    if not database.name.startswith(":") and not database.exists():
        database.touch(PRIVATE)


def create_tables(engine: Engine, metadata: MetaData) -> None:
    """Create missing tables and indexes; two processes may do so at once."""
    if engine.dialect.name == "sqlite":
        raw = engine.raw_connection()  # the mode cannot change within a transaction
        try:
            raw.cursor().execute("PRAGMA journal_mode=WAL")
        finally:
            raw.close()
    with engine.connect() as connection, connection.execution_options(**{WRITES: True}).begin():
        if engine.dialect.name == "postgresql":  # "if not exists" alone fails when two processes run at once
            connection.execute(select(func.pg_advisory_xact_lock(CREATION_LOCK)))
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def upsert(engine: Engine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


def batched(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The values in runs of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))


class SqlStore:
    """Tables behind one SQLAlchemy URL. Nothing is opened before the first query, so that a server starts while the
    database is unavailable. Every error of the database becomes the store's own error, without a value of any row."""

    metadata: ClassVar[MetaData]
    name: ClassVar[str]
    unavailable: ClassVar[type[TastefeedError]]
    remedy: ClassVar[str]
    setting: ClassVar[str]
    """The environment variable that names another database."""
    label: ClassVar[str]
    """The store in metrics."""
    creates: ClassVar[bool] = True
    """Whether opening the store creates missing tables."""

    def __init__(self, url: str, *, wait_s: float | None = None) -> None:
        """Opens nothing yet. `wait_s` bounds how long a call waits for a lock; calls then fail at once for a while."""
        self._url, self._wait_s = url, wait_s
        self._engine: Engine | None = None
        self._has_all_tables = False
        self._opening = threading.Lock()  # requests come in threads, and a second engine would never be closed
        self._writing = threading.Lock()  # SQLite lets its writers try again in no order, so some would wait too long
        self._circuits = {use: CircuitBreaker(wait_s) for use in Use}
        self.on_call: StoreCall = ignore_call
        """Called after each transaction, with its duration."""

    def close(self) -> None:
        """Close the connections; the next query opens new ones."""
        if self._engine is not None:
            self._engine.dispose()

    def add_missing_tables(self) -> None:
        """Create the tables that a database of an earlier version lacks."""
        if self._has_all_tables:
            return
        with self._transaction() as connection:
            missing = set(self.metadata.tables) - set(inspect(connection).get_table_names())
        if missing:
            with self._named_errors():
                create_tables(self._opened(), self.metadata)
        self._has_all_tables = True

    @contextmanager
    def _transaction(self, *, writes: bool = False, use: Use = Use.READ) -> Iterator[Connection]:
        """One transaction. With `writes`, SQLite takes its write lock at once, so that what it reads is still
        current when it writes."""
        if writes and is_read_only(self._url):
            raise self.unavailable(
                f"{self.name} {without_password(self._url)} is read-only; let this user write to the file and its "
                f"folder, or name another database with {self.setting}"
            )
        called = self._called(Use.WRITE if writes else use)
        with called, self._turn(writes=writes), self._opened().connect() as connection:
            if not writes:  # it begins with the first statement; closing the connection ends it without a commit
                yield connection
                return
            with connection.execution_options(**{WRITES: True}).begin():
                yield connection
            if connection.dialect.name == "sqlite":
                empty_log(connection)

    @contextmanager
    def _point_transaction(self) -> Iterator[PointConnection]:
        """One transaction for `PointRead`s alone."""
        with self._called(Use.POINT_READ), point_transaction(self._opened()) as connection:
            yield connection

    @contextmanager
    def _called(self, use: Use) -> Iterator[None]:
        """Measure a call, give its errors their name, and let it fail at once where earlier ones waited in vain."""
        circuit = self._circuits[use]
        with self._measured(writes=use is Use.WRITE), self._named_errors(), circuit.call(*DATABASE_ERRORS):
            yield

    @contextmanager
    def _measured(self, *, writes: bool) -> Iterator[None]:
        started, failed = time.perf_counter(), True
        try:
            yield
            failed = False
        finally:
            self.on_call(self.label, writes=writes, seconds=time.perf_counter() - started, failed=failed)

    @contextmanager
    def _turn(self, *, writes: bool) -> Iterator[None]:
        if not writes or make_url(self._url).get_backend_name() != "sqlite":
            yield
            return
        with _held(self._writing, None if self._wait_s is None else WRITERS_AHEAD * self._wait_s):
            yield

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except DATABASE_ERRORS as error:
            raise self._cannot_be_used(f"cannot be used ({cause(error)})") from None

    def _cannot_be_used(self, problem: str) -> TastefeedError:
        passing = any(words in problem for words in PASSING)
        remedy = AFTER_PASSING if passing else self.remedy
        return self.unavailable(f"{self.name} {without_password(self._url)} {problem}; {remedy}")

    def _opened(self) -> Engine:
        if self._engine is not None:
            return self._engine
        with _held(self._opening, self._wait_s):
            if self._engine is None:
                engine = open_engine(self._url, create=self.creates, wait_s=self._wait_s)
                if self.creates and not is_read_only(self._url):
                    create_tables(engine, self.metadata)
                self._engine = engine
            return self._engine


@contextmanager
def _held(lock: threading.Lock, timeout_s: float | None) -> Iterator[None]:
    """Hold a lock. Raises `TimeoutError`."""
    if not lock.acquire(timeout=-1 if timeout_s is None else timeout_s):
        raise TimeoutError("other calls of this process take too long")
    try:
        yield
    finally:
        lock.release()


def without_password(url: str) -> str:
    """A database's URL without its password."""
    return make_url(url).render_as_string()


def cause(error: Exception) -> str:
    """The cause of an error, without values: only errors of the connection itself are quoted."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig else error
    quotable = isinstance(error, OSError | OperationalError) or type(origin).__module__ == "sqlite3"
    return " ".join(str(origin).split()) if quotable else type(origin).__name__


def _durable_with_secure_delete(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.cursor().execute("PRAGMA synchronous=FULL")
    connection.cursor().execute("PRAGMA secure_delete=ON")
    connection.isolation_level = None  # sqlite3 would begin only at the first write


def _limit_statements(connection: DBAPIConnection, _record: ConnectionPoolEntry, *, milliseconds: int) -> None:
    connection.autocommit = True  # a commit may take longer than a statement
    connection.cursor().execute(f"SET lock_timeout = {milliseconds}; SET statement_timeout = {milliseconds}")
    connection.autocommit = False


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def _as_permitted(
    _dialect: Dialect, _record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any], *, create: bool
) -> None:
    path = str(arguments[0])
    if path.startswith(("file:", ":memory:")):
        return
    if mode := read_only_mode(Path(path)) if is_read_only(f"sqlite:///{path}") else "" if create else "mode=rw":
        arguments[0], options["uri"] = f"file:{quote(path)}?{mode}", True
