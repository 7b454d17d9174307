"""The audit of administrative calls: who did what and when. Entries are only added; ids are pseudonyms."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import inspect, select

from contracts.opt_out_flags import SubjectType, checked
from contracts.switches import Switches
from serving.privacy.audit_rows import AuditRow, add_entry
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.opt_out_tables import AUDIT
from serving.privacy.pseudonyms import Pseudonym
from serving.privacy.subject_ids import stored_id


@dataclass(frozen=True)
class AuditEntry:
    """One call. `subject` is a switch, a release, or the type and pseudonym of an opt-out's subject."""

    number: int
    at: datetime
    who: str
    action: str
    subject: str
    detail: str


class AdminAudit:
    """The audit in the database of the opt-outs. Raises `OptOutStoreUnavailable`."""

    def __init__(self, opt_outs: OptOutStore, pseudonym: Pseudonym) -> None:
        """`pseudonym` replaces the ids of users, items and creators."""
        self._opt_outs, self._pseudonym = opt_outs, pseudonym

    def of_opt_out(self, who: str, action: str, subject_type: str, subject_id: str, flag: str) -> AuditRow:
        """The entry for a change of an opt-out, which is written with it. Raises `UnknownOptOut` and `BadId`."""
        subject, name = checked(subject_type, flag)
        return AuditRow(who, action, f"{subject}:{self._pseudonym(stored_id(subject, subject_id))}", name)

    def user(self, who: str, action: str, user_id: str) -> None:
        """Record a call that reads data of a user."""
        self.add(who, action, f"{SubjectType.USER}:{self._pseudonym(user_id)}")

    def add(self, who: str, action: str, subject: str, detail: str = "") -> None:
        """Record one call, durably."""
        self._opt_outs.add_missing_tables()
        with self._opt_outs.checked_transaction(writes=True) as (connection, _):
            add_entry(connection, AuditRow(who, action, subject, detail))

    def switches(self) -> Switches:
        """The switches that are set."""
        return self._opt_outs.switches()

    def newest(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """At most `limit` entries, the newest first; only those before the entry with the number `before`."""
        entries = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
        if before is not None:
            entries = entries.where(AUDIT.c.number < before)
        with self._opt_outs.checked_transaction() as (connection, _):
            if not inspect(connection).has_table(AUDIT.name):
                return []
            return [AuditEntry(**row) for row in connection.execute(entries).mappings()]
