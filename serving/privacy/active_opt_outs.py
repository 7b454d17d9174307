"""What one feed must respect: the opt-outs and the kill switches of this moment."""

from dataclasses import dataclass

from contracts.opt_out_flags import UNREADABLE, Flag
from contracts.switches import NO_SWITCHES, Switches
from serving.privacy.exclusions import Exclusions


@dataclass(frozen=True)
class ActiveOptOuts:
    """What one feed must respect: the user's own flags, the excluded items and creators, and the kill switches."""

    flags: frozenset[Flag]
    items: frozenset[str]
    creators: frozenset[str]
    switches: Switches = NO_SWITCHES

    @classmethod
    def of(cls, flags: frozenset[Flag], exclusions: Exclusions) -> "ActiveOptOuts":
        """A user's flags, with what holds for every feed."""
        return cls(flags, exclusions.items, exclusions.creators, exclusions.switches)

    @property
    def forbids_profile(self) -> bool:
        """Whether no data of the user may be read."""
        return not self.flags.isdisjoint(UNREADABLE)
