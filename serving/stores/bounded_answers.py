"""Connections to PostgreSQL whose callers wait only so long for an answer.

`statement_timeout` runs in the server. Where its host is unreachable, or the server is stopped, nothing would end the
wait of a client but TCP, after minutes.
"""

from collections.abc import Generator
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Dialect, Engine, ExceptionContext, event
from sqlalchemy.pool import ConnectionPoolEntry

COMMIT_S = 10.0
"""A commit waits for the server's disk, which `statement_timeout` does not bound; after less, its result is unknown."""
CHECK_S = 0.1
Result = TypeVar("Result")


class NoAnswer(psycopg.OperationalError):
    """The server was silent for too long; the connection is closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed where an answer takes longer than `answer_s`."""

    answer_s = COMMIT_S

    def wait(self, gen: Generator[Any, Any, Result], interval: float = CHECK_S, timeout: float | None = None) -> Result:
        """Wait for an answer; psycopg does so in each of its methods. Raises `NoAnswer`."""
        try:
            return super().wait(gen, interval, timeout or self.answer_s)
        except psycopg.OperationalError:
            if self.info.transaction_status is not TransactionStatus.ACTIVE:  # the server answered with an error
                raise
            self.close()
            raise NoAnswer(f"the server did not answer within {self.answer_s:g} s") from None

    def commit(self) -> None:
        """Commit, and wait longer for it."""
        self.answer_s, before = COMMIT_S, self.answer_s
        try:
            super().commit()
        finally:
            self.answer_s = before


def bound_answers(engine: Engine, answer_s: float) -> None:
    """Let the connections of an engine for psycopg wait at most `answer_s` for each statement."""
    event.listen(engine, "do_connect", partial(_connect, answer_s=answer_s))
    event.listen(engine, "handle_error", _end_at_silence)


def _connect(
    _dialect: Dialect, _record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any], *, answer_s: float
) -> BoundedConnection:
    connection = BoundedConnection.connect(*arguments, **options)
    connection.answer_s = answer_s
    return connection


def _end_at_silence(context: ExceptionContext) -> None:
    """End the call where a pooled connection is silent. By default the pool opens a new one, and waits again."""
    if context.is_pre_ping and isinstance(context.original_exception, NoAnswer):
        raise TimeoutError(str(context.original_exception))
