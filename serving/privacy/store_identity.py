"""The identity of an opt-out store and how much it holds: one row, updated with every change.

Compared with the marker outside the store (`marker_files`), the row exposes a store that was emptied, replaced by
another database, or restored from an older copy.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, FromClause, Select, func, select, update

from serving.privacy.opt_out_tables import IDENTITY, OPT_OUTS
from serving.stores.point_reads import PointConnection, PointRead
from serving.stores.sql_store import upsert

ONLY = 1
"""The key of the one row."""


class Marker(BaseModel):
    """One state of the store, as files outside the store record it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    identity: str
    changes: int = Field(alias="words", description="every change that was ever written; it never decreases")
    at: datetime = Field(description="when the last change was written")


@dataclass(frozen=True)
class StoreIdentity:
    """The row of `opt_out_store`, read together with the number of records."""

    identity: str
    changes: int
    """Every change that was ever written."""
    exclusion_changes: int
    """The changes that concern items, creators and switches."""
    expected_rows: int
    at: datetime
    rows: int
    """Records that exist; where they were not counted, 1 for any number."""

    @property
    def marker(self) -> Marker:
        """The state that is recorded outside the store."""
        return Marker(identity=self.identity, changes=self.changes, at=self.at)

    def problem(self, marker: Marker | None, *, counted: bool) -> str | None:
        """Why this is not the store of the marker, or not all of it."""
        if marker and marker.identity != self.identity:
            return "is another store than the one this lake had"
        if marker and marker.changes > self.changes:
            return (
                f"is older than what was written to it (it has {self.changes:,} changes, {marker.changes:,} were "
                f"written until {marker.at:%Y-%m-%d %H:%M:%S} UTC)"
            )
        expected = self.expected_rows if counted else min(self.expected_rows, 1)
        return f"lacks rows (it had {self.expected_rows:,})" if self.rows < expected else None


def read_identity(connection: PointConnection, *, counted: bool) -> StoreIdentity | None:
    """The identity of the store and the number of records, in one statement: of one snapshot."""
    rows = (STORE_COUNTED if counted else STORE).rows(connection, {})
    return StoreIdentity(*rows[0]) if rows else None


def _store(rows: FromClause) -> Select[Any]:
    t = IDENTITY.c
    count = select(func.count()).select_from(rows).scalar_subquery()
    return select(t.identity, t.words, t.withheld, t.held, t.at, count)


STORE, STORE_COUNTED = PointRead(_store(select(OPT_OUTS).limit(1).subquery())), PointRead(_store(OPT_OUTS))


def count_records(connection: Connection) -> int:
    """The number of records."""
    return connection.scalar(select(func.count()).select_from(OPT_OUTS)) or 0


def create_identity(connection: Connection) -> None:
    """Give the store an identity, unless it has one."""
    rows = count_records(connection)
    row = {"only": ONLY, "identity": uuid4().hex, "words": rows, "withheld": 0, "held": rows, "at": datetime.now(UTC)}
    connection.execute(upsert(connection.engine, IDENTITY).values(row).on_conflict_do_nothing())


def add_changes(connection: Connection, changes: int, *, exclusions: int) -> None:
    """Count changes that are about to be written. The writers of PostgreSQL wait here for each other."""
    counts = {"words": IDENTITY.c.words + changes, "withheld": IDENTITY.c.withheld + exclusions}
    connection.execute(update(IDENTITY).values(**counts, at=datetime.now(UTC)))


def add_expected_rows(connection: Connection, rows: int) -> None:
    """Count how many rows were inserted or deleted."""
    connection.execute(update(IDENTITY).values(held=IDENTITY.c.held + rows))
