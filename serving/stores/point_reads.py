"""The few queries of each feed, without SQLAlchemy's work on each of them: it takes ten times as long as SQLite itself.

A query is compiled once, and SQLite's own connection executes it. Other databases are asked through SQLAlchemy.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, inspect
from sqlalchemy.dialects import sqlite

from serving.stores.sql_instants import Instant, from_micros, to_micros

PointConnection = Connection | sqlite3.Connection


class PointRead:
    """One query with named parameters; a parameter is one value, or an instant."""

    def __init__(self, statement: Select[Any]) -> None:
        """Compile the statement."""
        self._statement = statement
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        self._sql, self._constants = str(compiled), dict(compiled.params)
        self._instants = [
            place for place, column in enumerate(statement.selected_columns) if isinstance(column.type, Instant)
        ]

    def rows(self, connection: PointConnection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """All rows of the result."""
        if isinstance(connection, Connection):
            return connection.execute(self._statement, values).all()
        given = {name: to_micros(value) if isinstance(value, datetime) else value for name, value in values.items()}
        rows = connection.execute(self._sql, {**self._constants, **given}).fetchall()
        return [self._with_instants(row) for row in rows] if self._instants else rows

    def _with_instants(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for place in self._instants:
            values[place] = from_micros(values[place])
        return values


def has_table(connection: PointConnection, name: str) -> bool:
    """Whether the database has a table."""
    if isinstance(connection, Connection):
        return bool(inspect(connection).has_table(name))
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [name]).fetchone() is not None


@contextmanager
def point_transaction(engine: Engine) -> Iterator[PointConnection]:
    """One transaction that only reads."""
    if engine.dialect.name != "sqlite":
        with engine.connect() as connection:
            yield connection  # closing it ends the transaction, without a commit
        return
    pooled = engine.raw_connection()
    try:
        own: Any = pooled.driver_connection
        own.execute("BEGIN")
        yield own
    finally:
        pooled.close()  # ends the transaction
