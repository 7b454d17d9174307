"""The opt-out service: sets and clears flags, and keeps the posted events consistent with them.

HTTP, page, command line, import and night all change opt-outs through this one service.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from contracts import Settings
from contracts.errors import EventStoreUnavailable
from contracts.ids import spellings
from contracts.opt_out_flags import Flag, OptOut, SubjectType
from serving.privacy.audit_rows import AuditRow
from serving.privacy.opt_out_store import OptOutStore
from serving.stores.event_store import EventStore, user_hash


@dataclass(frozen=True)
class OptOutService:
    """The opt-out store and the event store of one lake."""

    opt_outs: OptOutStore
    events: EventStore

    @classmethod
    def of(cls, settings: Settings, *, wait_s: float | None = None) -> "OptOutService":
        """The service of a lake. A server bounds with `wait_s` how long a request waits for a locked store."""
        return cls(OptOutStore.of(settings, wait_s=wait_s), EventStore(settings.events_dsn, wait_s=wait_s))

    def opt_out(self, subject_type: str, subject_id: str, flag: str, entry: AuditRow | None = None) -> OptOut:
        """Opt out, with an entry of the audit. The flag is written first, then the tombstone; from then on no event of
        an erased user is stored. After a failure in between, a repeated call completes the erasure: it raises
        `EventStoreUnavailable`."""
        record = self.opt_outs.set(subject_type, subject_id, flag, entry)
        if record.flag is Flag.ERASURE:
            try:
                self.events.erase([record.subject_id])
            except EventStoreUnavailable as error:
                raise EventStoreUnavailable(
                    f"the opt-out holds, but posted events remain: {error}, and set it again"
                ) from None
        return record

    def opt_in(self, subject_type: str, subject_id: str, flag: str, entry: AuditRow | None = None) -> OptOut:
        """Withdraw an opt-out; erased data stays erased."""
        record = self.opt_outs.clear(subject_type, subject_id, flag, entry)
        if record.flag is Flag.ERASURE:
            self._reconcile([record.subject_id])
        return record

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Insert many records, all or none. Returns how many were given."""
        records = list(opt_outs)
        count = self.opt_outs.load(records)
        self._reconcile({record.subject_id for record in records if record.flag == Flag.ERASURE})
        return count

    def erased(self) -> frozenset[str]:
        """Every erased user, in every spelling of the id."""
        return self.opt_outs.subjects(SubjectType.USER, [Flag.ERASURE])

    def reconcile(self) -> int:
        """Make the posted events consistent with every flag, also with flags that became active since. Returns how many
        events were dropped."""
        tombstones = self.events.tombstones()
        return self._apply(self.erased(), tombstones)

    def _reconcile(self, user_ids: Iterable[str]) -> None:
        users = {spelling for user in user_ids for spelling in spellings(user)}
        if users:
            tombstones = self.events.tombstones(users)
            self._apply(self.opt_outs.among(SubjectType.USER, users, [Flag.ERASURE]), tombstones)

    def _apply(self, erased: frozenset[str], tombstones: dict[str, datetime]) -> int:
        """`tombstones` were read before the flags: a user with a tombstone and without a flag withdrew the erasure."""
        kept = {user_hash(user) for user in erased}
        self.events.readmit({key: at for key, at in tombstones.items() if key not in kept})
        return self.events.erase(erased)

    def close(self) -> None:
        """Close the connections to both databases."""
        self.opt_outs.close()
        self.events.close()
