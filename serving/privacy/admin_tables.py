"""The tables of administrators, in the database of the opt-outs: the kill switches and the audit."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, inspect, select

from contracts.switches import NO_SWITCHES, Switches
from serving.stores.sql_instants import Instant

METADATA = MetaData()
"""Of all tables of the opt-out store."""
SWITCHES = Table(
    "switches",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    Column("set_at", Instant, nullable=False),
    Column("set_by", String, nullable=False),
)
AUDIT = Table(
    "admin_audit",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),
    sqlite_autoincrement=True,  # no number is given twice
)


@dataclass(frozen=True)
class AuditRow:
    """What an entry of the audit records, beside its time."""

    who: str
    action: str
    subject: str
    detail: str = ""


def add_entry(connection: Connection, row: AuditRow) -> None:
    """Insert an entry in the transaction of the change that it is about."""
    connection.execute(insert(AUDIT).values(at=datetime.now(UTC), **asdict(row)))


def read_switches(connection: Connection) -> Switches:
    """The switches that are set; none in a store of an earlier version, which has no such table."""
    if not inspect(connection).has_table(SWITCHES.name):
        return NO_SWITCHES
    return Switches.of({row.name: row.value for row in connection.execute(select(SWITCHES))})
