"""What holds for every feed: items and creators that no feed may show, and the kill switches that are set."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, inspect, select

from contracts.instants import CLOCK_SKEW
from contracts.opt_out_flags import Flag, SubjectType
from contracts.switches import NO_SWITCHES, Switches
from serving.privacy.opt_out_records import is_active, opted_out_now
from serving.privacy.opt_out_tables import OPT_OUTS, SWITCHES
from serving.privacy.store_identity import StoreIdentity
from serving.privacy.subject_ids import all_spellings


@dataclass(frozen=True)
class Exclusions:
    """Items, and creators of items, that no feed may show, and what is switched off for all feeds."""

    items: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()
    switches: Switches = NO_SWITCHES


@dataclass(frozen=True)
class CachedExclusions:
    """The exclusions of one state of the store, valid until another record becomes active."""

    identity: str
    changes: int
    valid_until: datetime | None
    exclusions: Exclusions

    def is_valid(self, store: StoreIdentity | None) -> bool:
        """Whether no item, creator or switch changed since, and no further record became active."""
        same = store is not None and (store.identity, store.exclusion_changes) == (self.identity, self.changes)
        return same and (self.valid_until is None or datetime.now(UTC) < self.valid_until)


def read_exclusions(connection: Connection, store: StoreIdentity | None) -> CachedExclusions:
    """What holds for every feed, and the next instant at which that changes by itself."""
    t = OPT_OUTS.c
    condition = t.flag == Flag.RECOMMENDATION
    keys = opted_out_now(connection, condition)
    later = select(t.opted_out, func.min(t.effective_at)).where(condition, ~is_active(datetime.now(UTC)))
    starts = [at - CLOCK_SKEW if out else at for out, at in connection.execute(later.group_by(t.opted_out))]
    of = {kind: all_spellings(subject for which, subject, _ in keys if which == kind) for kind in SubjectType}
    exclusions = Exclusions(of[SubjectType.ITEM], of[SubjectType.CREATOR], read_switches(connection))
    identity, changes = (store.identity, store.exclusion_changes) if store else ("", 0)
    return CachedExclusions(identity, changes, min(starts, default=None), exclusions)


def read_switches(connection: Connection) -> Switches:
    """The switches that are set; none in a store of an earlier version, which has no such table."""
    if not inspect(connection).has_table(SWITCHES.name):
        return NO_SWITCHES
    return Switches.of({row.name: row.value for row in connection.execute(select(SWITCHES))})
