"""Time as an argument: one job computes a feature for every cutoff of training, evaluation and tonight."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts import columns as c
from contracts.errors import NaiveTime
from contracts.schemas import WINDOWS_DAYS


def before_cutoffs(events: DataFrame, cutoffs: Sequence[datetime]) -> DataFrame:
    """Each event once for every cutoff that it came strictly before, with that instant as column `cut`.

    An aggregate by `cut` therefore never uses an event after that cutoff.
    """
    return _for_each_cutoff(events, cutoffs, lambda cutoff: F.col(c.TIMESTAMP) < cutoff)


def after_cutoffs(events: DataFrame, cutoffs: Sequence[datetime], *, days: int) -> DataFrame:
    """Each event once for every cutoff whose window `[cutoff, cutoff + days)` it falls into, with column `cut`."""
    return _for_each_cutoff(
        events, cutoffs, lambda cutoff: (cutoff <= F.col(c.TIMESTAMP)) & (F.col(c.TIMESTAMP) < cutoff + days_long(days))
    )


def items_at_cutoffs(items: DataFrame, cutoffs: Sequence[datetime]) -> DataFrame:
    """Each item once for every cutoff that it was created before (unknown counts as before), with column `cut`."""
    return _for_each_cutoff(items, cutoffs, existed)


def existed(cutoff: Column) -> Column:
    """Whether an item had been created by a cutoff."""
    return F.coalesce(F.col(c.CREATED_AT) < cutoff, F.lit(True))


def instant(moment: datetime) -> Column:
    """A moment as a column. Raises `NaiveTime` where it has no timezone."""
    if moment.tzinfo is None:
        raise NaiveTime(f"{moment.isoformat()} has no timezone; pass datetime(…, tzinfo=UTC)")
    return F.lit(moment.astimezone(UTC))


def days_long(days: int) -> Column:
    """An interval of whole days of 24 hours."""
    return F.make_dt_interval(F.lit(days))


def hours_between(earlier: Column, later: Column) -> Column:
    """Hours from one instant to another."""
    return (F.unix_micros(later) - F.unix_micros(earlier)) / F.lit(3_600_000_000)


def recent_counts(name: str, condition: Column) -> list[Column]:
    """Columns `<name>_1d`, `_7d`, `_28d`: events that meet a condition, in the last days before `cut`."""
    return [F.count_if(condition & within(days)).alias(f"{name}_{days}d") for days in WINDOWS_DAYS]


def within(days: int, timestamp: str = c.TIMESTAMP) -> Column:
    """Whether something happened in the last days before `cut`."""
    return within_hours(24 * days, timestamp)


def within_hours(hours: int, timestamp: str = c.TIMESTAMP) -> Column:
    """Whether something happened in the last hours before `cut`."""
    # whole microseconds: adding an interval to a timestamp uses the calendar of a time zone for each row
    return F.unix_micros(c.CUT) - F.unix_micros(timestamp) <= hours * 3_600_000_000


def _for_each_cutoff(frame: DataFrame, cutoffs: Sequence[datetime], fits: Callable[[Column], Column]) -> DataFrame:
    instants = F.array(*map(instant, cutoffs)).cast("array<timestamp>")
    return frame.withColumn(c.CUT, F.explode(F.filter(instants, fits)))
