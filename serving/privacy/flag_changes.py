"""Changes of single flags in the tables of the opt-out store, with their entries of the audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete

from contracts.opt_out_flags import Flag, OptOut, SubjectType
from serving.privacy.audit_rows import AuditRow, add_entry
from serving.privacy.opt_out_records import concerns, insert_records
from serving.privacy.opt_out_tables import OPT_OUTS
from serving.privacy.store_identity import StoreIdentity, add_changes, add_expected_rows


@dataclass(frozen=True)
class FlagChange:
    """A flag of a subject is set or cleared from now on."""

    subject_type: SubjectType
    subject_id: str
    """In the spelling that is stored."""
    flag: Flag
    opted_out: bool
    entry: AuditRow | None
    """Who asked for it."""


def apply_changes(connection: Connection, store: StoreIdentity | None, changes: Sequence[FlagChange]) -> list[OptOut]:
    """The record of each change, in the order of the changes. Each replaces all earlier records of its flag."""
    if store:  # first, because the writers of PostgreSQL wait here for each other
        exclusions = sum(each.flag is Flag.RECOMMENDATION for each in changes)
        add_changes(connection, len(changes), exclusions=exclusions)
    records = [_applied(connection, store, each) for each in changes]
    for each in changes:
        if each.entry:
            add_entry(connection, each.entry)
    return records


def _applied(connection: Connection, store: StoreIdentity | None, change: FlagChange) -> OptOut:
    # the instant is read after the lock is taken: of two writers, the last one has the later record
    record = OptOut(change.subject_type, change.subject_id, change.flag, change.opted_out, datetime.now(UTC))
    same_subject = concerns(record.subject_type, [record.subject_id])
    replaced = connection.execute(delete(OPT_OUTS).where(same_subject, OPT_OUTS.c.flag == record.flag)).rowcount
    key = record.subject_type, record.subject_id, record.flag
    insert_records(connection, {(key, record.effective_at): record.opted_out})
    if store:
        add_expected_rows(connection, 1 - replaced)
    return record
