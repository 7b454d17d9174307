"""What follows at once from an opt-out, beyond its row in the store: one service for HTTP, page, command line, import
and night."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from contracts import Settings
from contracts.ids import spellings
from contracts.opt_out_flags import Flag, OptOut, SubjectType
from serving.event_store import PendingEvents, user_hash
from serving.privacy.opt_out_store import OptOutStore


@dataclass(frozen=True)
class Wishes:
    """Sets and clears flags, and keeps the posted events in line with them."""

    opt_outs: OptOutStore
    pending: PendingEvents

    @classmethod
    def of(cls, settings: Settings) -> "Wishes":
        """Those of a lake."""
        return cls(OptOutStore.of(settings), PendingEvents(settings.events_dsn))

    def opt_out(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Opt out. The flag comes first, then the tombstone: from then on no event of an erased user is taken in.
        Asked again after a failure in between, it finishes."""
        said = self.opt_outs.set(subject_type, subject_id, flag)
        if said.flag is Flag.ERASURE:
            self.pending.erase([said.subject_id])
        return said

    def opt_in(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Take an opt-out back; what was erased stays erased."""
        said = self.opt_outs.clear(subject_type, subject_id, flag)
        if said.flag is Flag.ERASURE:
            self._settle([said.subject_id])
        return said

    def load(self, opt_outs: Iterable[OptOut]) -> int:
        """Keep many words at once, all or none. Returns how many there were."""
        words = list(opt_outs)
        kept = self.opt_outs.load(words)
        self._settle({word.subject_id for word in words if word.flag == Flag.ERASURE})
        return kept

    def erased(self) -> frozenset[str]:
        """Every user who is erased, in every spelling."""
        return self.opt_outs.subjects(SubjectType.USER, [Flag.ERASURE])

    def settle(self) -> int:
        """Bring the posted events in line with every flag, also with those that came into force since. Returns how many
        events were dropped."""
        before = self.pending.tombstones()
        return self._in_line(self.erased(), before)

    def _settle(self, user_ids: Iterable[str]) -> None:
        users = {spelling for user in user_ids for spelling in spellings(user)}
        if users:
            before = self.pending.tombstones(users)
            self._in_line(self.opt_outs.among(SubjectType.USER, users, [Flag.ERASURE]), before)

    def _in_line(self, erased: frozenset[str], before: dict[str, datetime]) -> int:
        """`before` was read before the flags: who has a tombstone there and no flag now has taken the erasure back."""
        kept = {user_hash(user) for user in erased}
        self.pending.readmit({key: at for key, at in before.items() if key not in kept})
        return self.pending.erase(erased)

    def close(self) -> None:
        """Let go of both databases."""
        self.opt_outs.close()
        self.pending.close()
