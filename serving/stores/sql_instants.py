"""Instants in the SQL stores: microseconds since 1970, exact and comparable in every database."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def as_utc(instant: datetime) -> datetime:
    """The instant in UTC; one without a zone is UTC, as the contract defines."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def to_micros(instant: datetime) -> int:
    """Instant to integer."""
    return (as_utc(instant) - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Integer to instant."""
    return EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """The type of a column of instants."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> Any:
        """Instant to integer."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        """Integer to instant."""
        return None if value is None else from_micros(value)
