"""Small tables in few words. Times are hours from CUTOFF: negative is before it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from contracts.schemas import EVENTS, ITEMS, SESSIONS

CUTOFF = datetime(2024, 3, 29, tzinfo=UTC)
Build = Callable[..., DataFrame]


def at(hours: float | None) -> datetime | None:
    """An instant, as hours from CUTOFF."""
    return None if hours is None else CUTOFF + timedelta(hours=hours)


@pytest.fixture(scope="session")
def cutoff() -> datetime:
    """The instant all hours count from."""
    return CUTOFF


@pytest.fixture(scope="session")
def hours() -> Callable[[float | None], datetime | None]:
    """Hours from CUTOFF as an instant."""
    return at


@pytest.fixture(scope="session")
def table(spark: SparkSession) -> Build:
    """Rows (dicts, absent is null) as a frame of a schema."""

    def build(schema: pa.Schema, rows: list[dict[str, Any]]) -> DataFrame:
        return spark.createDataFrame(pa.Table.from_pylist(rows, schema))

    return build


@pytest.fixture(scope="session")
def events(table: Build) -> Build:
    """Events from (user, action, item, hours), an optional dict as fifth for the rest; ids e0, e1, … by position."""

    def build(*rows: tuple[Any, ...]) -> DataFrame:
        return table(EVENTS, [_event(number, *row) for number, row in enumerate(rows)])

    return build


@pytest.fixture(scope="session")
def sessions(table: Build) -> Build:
    """Like `events`, with a fifth field: the session, begun at the user's first row of it."""

    def build(*rows: tuple[str, str, str, float, str]) -> DataFrame:
        begun: dict[tuple[str, str], float] = {}
        for user, _, _, hours, session in rows:
            begun[user, session] = min(hours, begun.get((user, session), hours))
        full = [
            _event(number, *row[:4], {"session_id": row[4], "session_started_at": at(begun[row[0], row[4]])})
            for number, row in enumerate(rows)
        ]
        return table(SESSIONS, full)

    return build


@pytest.fixture(scope="session")
def items(table: Build) -> Build:
    """Items from id and keywords `creator_id`, `categories`, `language`, `created` and `removed` (hours)."""

    def build(**rows: dict[str, Any]) -> DataFrame:
        return table(ITEMS, [_item(item, **row) for item, row in rows.items()])

    return build


@pytest.fixture(scope="session")
def users(table: Build) -> Build:
    """User ids as a frame."""
    schema = pa.schema([pa.field("user_id", pa.string())])
    return lambda *ids: table(schema, [{"user_id": user} for user in ids])


@pytest.fixture(scope="session")
def rows() -> Callable[[DataFrame], list[dict[str, Any]]]:
    """A frame's rows as dicts with UTC timestamps, in a fixed order."""
    return lambda frame: sorted(frame.toArrow().to_pylist(), key=lambda row: [str(value) for value in row.values()])


def _event(number: int, user: str, action: str, item: str, hours: float, more: dict[str, Any] | None = None) -> Any:
    row = {"event_id": f"e{number}", "user_id": user, "item_id": item, "action": action, "timestamp": at(hours)}
    return row | (more or {})


def _item(item: str, created: float | None = None, removed: float | None = None, **more: Any) -> dict[str, Any]:
    return {"item_id": item, "created_at": at(created), "removed_at": at(removed), **more}
