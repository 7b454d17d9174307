"""What follows at once from an opt-out, beyond its row in the store."""

from dataclasses import dataclass

from tastefeed.contracts.opt_outs import Flag, OptOut
from tastefeed.serving.opt_outs import OptOutStore
from tastefeed.serving.pending_events import PendingEvents


@dataclass(frozen=True)
class Wishes:
    """Sets and clears flags, for the HTTP call and the page alike."""

    opt_outs: OptOutStore
    pending: PendingEvents

    def opt_out(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Opt out. The flag comes first: from then on no event of an erased user is taken in, then the old ones go.
        Asked again after a failure in between, it finishes."""
        said = self.opt_outs.set(subject_type, subject_id, flag)
        if said.flag is Flag.ERASURE:
            self.pending.erase([subject_id])
        return said

    def opt_in(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Take an opt-out back; what was erased stays erased."""
        return self.opt_outs.clear(subject_type, subject_id, flag)

    def close(self) -> None:
        """Let go of both databases."""
        self.opt_outs.close()
        self.pending.close()
