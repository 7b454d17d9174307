"""Which instants a run looks from, so that nothing that is measured was trained on.

A *cut* is an instant; what is computed for it saw only events strictly before it. The label window of a cut are the
`label_days` that follow. A ranker that is used at a cut learned from label windows that end at or before it, with
candidates of a retrieval trained up to each label window's own cut.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


def midnight(day: date) -> datetime:
    """00:00 UTC of a day: the instant that ends a night's data."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True)
class Plan:
    """The cuts of one run, each list oldest first."""

    as_of: date
    label_days: int
    label_weeks: int
    measured: tuple[datetime, ...]
    publishes: bool
    rehearsal_weeks: int = 0

    @property
    def end(self) -> datetime:
        """The instant that ends the data."""
        return midnight(self.as_of)

    @property
    def step(self) -> timedelta:
        """The distance of two cuts, the length of a label window."""
        return timedelta(days=self.label_days)

    def label_cuts(self, cut: datetime) -> tuple[datetime, ...]:
        """The cuts whose label windows teach a ranker that is used at `cut`."""
        return tuple(cut - self.step * back for back in range(self.label_weeks, 0, -1))

    @property
    def rehearsals(self) -> tuple[datetime, ...]:
        """The last label cuts, at which every step is held against what it must beat as well.

        A week of few people says little of a small gain. These weeks need a re-ranker each, no features and no
        retrieval of their own.
        """
        taught = self.label_cuts(self.measured[-1])[1:]
        return taught[-self.rehearsal_weeks :] if self.rehearsal_weeks else ()

    def rehearsal_label_cuts(self, cut: datetime) -> tuple[datetime, ...]:
        """The label cuts that teach the re-ranker of a rehearsal: those of the measured cut that end by then."""
        return tuple(label for label in self.label_cuts(self.measured[-1]) if label + self.step <= cut)

    @property
    def ranked(self) -> tuple[datetime, ...]:
        """Every instant that a ranker is used at."""
        return (*self.measured, self.end) if self.publishes else self.measured

    @property
    def labelled(self) -> tuple[datetime, ...]:
        """Every cut with a label window: those that teach a ranker and those that are measured."""
        return tuple(sorted({*self.measured, *(label for cut in self.ranked for label in self.label_cuts(cut))}))

    @property
    def cuts(self) -> tuple[datetime, ...]:
        """Every instant that features and a retrieval are needed for."""
        return (*self.labelled, self.end) if self.publishes else self.labelled


def night_plan(as_of: date, *, holdout_days: int, label_weeks: int, rehearsal_weeks: int = 0) -> Plan:
    """One night: measure on the last days, then publish from everything."""
    measured = (midnight(as_of) - timedelta(days=holdout_days),)
    return Plan(as_of, holdout_days, label_weeks, measured, publishes=True, rehearsal_weeks=rehearsal_weeks)


def backtest_plan(as_of: date, *, weeks: int, holdout_days: int, label_weeks: int) -> Plan:
    """The honest part of `weeks` nights that end at `as_of`, a label window apart."""
    step = timedelta(days=holdout_days)
    measured = tuple(midnight(as_of) - step * back for back in range(weeks, 0, -1))
    return Plan(as_of, holdout_days, label_weeks, measured, publishes=False)
