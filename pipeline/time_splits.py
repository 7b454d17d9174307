"""The cutoffs of one run, chosen so that nothing that is measured was trained on.

A *cutoff* is an instant: whatever is computed for it reads only events strictly before it. The label window of a
cutoff is the `label_days` that follow it. A ranker that is used at a cutoff was trained on label windows that end at or
before it. The candidates of a label window are those of a retrieval model that was trained up to its own cutoff.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


def midnight(day: date) -> datetime:
    """00:00 UTC of a day: the instant that ends a night's data."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True)
class TimeSplits:
    """The cutoffs of one run, each tuple oldest first."""

    as_of: date
    label_days: int
    label_weeks: int
    eval_cutoffs: tuple[datetime, ...]
    """The cutoffs whose label windows are held out and measured."""
    publishes: bool
    """Whether the run also trains models at the end of the data, for a release."""
    rehearsal_weeks: int = 0

    @property
    def end(self) -> datetime:
        """The instant that ends the data."""
        return midnight(self.as_of)

    @property
    def step(self) -> timedelta:
        """The distance between two cutoffs, which is the length of a label window."""
        return timedelta(days=self.label_days)

    def training_cutoffs(self, cutoff: datetime) -> tuple[datetime, ...]:
        """The cutoffs whose label windows train the ranker that is used at `cutoff`."""
        return tuple(cutoff - self.step * back for back in range(self.label_weeks, 0, -1))

    @property
    def rehearsal_cutoffs(self) -> tuple[datetime, ...]:
        """The last label cutoffs before the held-out days; the gates judge every step on their weeks as well.

        One week with few users cannot show a small gain. These weeks need a re-ranker each, but no features and no
        retrieval of their own.
        """
        candidates = self.training_cutoffs(self.eval_cutoffs[-1])[1:]
        return candidates[-self.rehearsal_weeks :] if self.rehearsal_weeks else ()

    def rehearsal_training_cutoffs(self, cutoff: datetime) -> tuple[datetime, ...]:
        """The cutoffs whose label windows train the re-ranker of a rehearsal cutoff: those that end by then."""
        return tuple(label for label in self.training_cutoffs(self.eval_cutoffs[-1]) if label + self.step <= cutoff)

    @property
    def ranking_cutoffs(self) -> tuple[datetime, ...]:
        """Every cutoff that a ranker is used at."""
        return (*self.eval_cutoffs, self.end) if self.publishes else self.eval_cutoffs

    @property
    def label_cutoffs(self) -> tuple[datetime, ...]:
        """Every cutoff with a label window: those that train a ranker and those that are measured."""
        training = (label for cutoff in self.ranking_cutoffs for label in self.training_cutoffs(cutoff))
        return tuple(sorted({*self.eval_cutoffs, *training}))

    @property
    def cutoffs(self) -> tuple[datetime, ...]:
        """Every cutoff that features and a retrieval model are computed for."""
        return (*self.label_cutoffs, self.end) if self.publishes else self.label_cutoffs


def night_splits(as_of: date, *, holdout_days: int, label_weeks: int, rehearsal_weeks: int = 0) -> TimeSplits:
    """The splits of one night: measure on the last days, then publish models that are trained on all days."""
    held_out = (midnight(as_of) - timedelta(days=holdout_days),)
    return TimeSplits(as_of, holdout_days, label_weeks, held_out, publishes=True, rehearsal_weeks=rehearsal_weeks)


def backtest_splits(as_of: date, *, weeks: int, holdout_days: int, label_weeks: int) -> TimeSplits:
    """The splits of `weeks` past nights that end at `as_of`, one label window apart; none of them publishes."""
    step = timedelta(days=holdout_days)
    held_out = tuple(midnight(as_of) - step * back for back in range(weeks, 0, -1))
    return TimeSplits(as_of, holdout_days, label_weeks, held_out, publishes=False)
