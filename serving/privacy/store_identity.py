"""Which opt-out store this is and how much it holds: one row in the store itself, changed with every word.

Held against the marker outside (`store_marker`), it tells a whole store from one that was emptied, replaced by another
database, or restored from an older copy.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, func, select, update

from serving.privacy.store_marker import Marker
from serving.sql_store import Instant, upsert

ONLY = 1


@dataclass(frozen=True)
class Identity:
    """The store's row, read together with what the store really holds."""

    identity: str
    words: int
    """Everything that was ever kept."""
    withheld: int
    """What of it is about items and creators."""
    held: int
    """Rows that there should be."""
    at: datetime
    found: int
    """Rows that there are; where they were not counted, 1 for any number."""

    @property
    def marker(self) -> Marker:
        """What is noted outside of the store."""
        return Marker(identity=self.identity, words=self.words, at=self.at)

    def problem(self, marker: Marker | None, *, counted: bool) -> str | None:
        """Why this is not the store that the marker speaks of, or not all of it."""
        if marker and marker.identity != self.identity:
            return "is another store than the one this lake had"
        if marker and marker.words > self.words:
            return (
                f"is older than what was kept in it (it has {self.words:,} words, {marker.words:,} were kept until "
                f"{marker.at:%Y-%m-%d %H:%M:%S} UTC)"
            )
        wanted = self.held if counted else min(self.held, 1)
        return f"lacks rows (it had {self.held:,})" if self.found < wanted else None


def identity_table(metadata: MetaData) -> Table:
    """The table of the one row."""
    return Table(
        "opt_out_store",
        metadata,
        Column("only", Integer, primary_key=True, autoincrement=False),
        Column("identity", String, nullable=False),
        Column("words", Integer, nullable=False),
        Column("withheld", Integer, nullable=False),
        Column("held", Integer, nullable=False),
        Column("at", Instant, nullable=False),
    )


def read(connection: Connection, table: Table, words: Table, *, counted: bool) -> Identity | None:
    """The row, and the number of rows of `words`, in one statement: of one snapshot."""
    t = table.c
    some = select(func.count()).select_from(words if counted else select(words).limit(1).subquery())
    row = connection.execute(
        select(t.identity, t.words, t.withheld, t.held, t.at, some.scalar_subquery())
    ).one_or_none()
    return Identity(*row) if row else None


def begin(connection: Connection, table: Table, words: Table) -> None:
    """Give the store an identity, unless it has one."""
    held = connection.scalar(select(func.count()).select_from(words))
    row = {"only": ONLY, "identity": uuid4().hex, "words": held, "withheld": 0, "held": held, "at": datetime.now(UTC)}
    connection.execute(upsert(connection.engine, table).values(row).on_conflict_do_nothing())


def count(connection: Connection, table: Table, words: int, *, withheld: int) -> None:
    """Note that some words are about to be kept. PostgreSQL's writers wait here for each other."""
    more = {"words": table.c.words + words, "withheld": table.c.withheld + withheld}
    connection.execute(update(table).values(**more, at=datetime.now(UTC)))


def hold(connection: Connection, table: Table, more: int) -> None:
    """Note by how many rows the table has grown."""
    connection.execute(update(table).values(held=table.c.held + more))
