"""Rows of the audit, inserted in the transaction of the change that they are about."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert

from serving.privacy.opt_out_tables import AUDIT


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
