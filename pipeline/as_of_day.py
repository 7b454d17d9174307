"""The day of a night or of a backtest, and whether the last day with an event is an outlier.

One event with a wrong year moves the last day away from all others. The held-out days of such a night would be almost
empty. Counting events per day detects this before the night starts.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median

import polars as pl

from contracts import Action, Settings
from contracts import columns as c
from contracts.errors import OutlierDay, UnreadableInput
from pipeline.ingestion.landing_zone import ingested_files, usable_events
from pipeline.lake import Lake
from serving.stores.event_store import EventStore

TYPICAL_DAYS = 28
"""A typical day has the median count of the last so many days with an event before the held-out ones."""
FEWEST_DAYS = 7
"""With fewer days no typical count is computed."""
OUTLIER_SHARE = 0.25
"""The last day is an outlier if the held-out days together have less than this share of a typical day."""
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Outlier:
    """A last day with far fewer events than the days before it."""

    day: date
    events: int
    held_out: int
    """Events of the days that a night of this day holds out."""
    typical_events: float
    typical_day: date
    """The last day with a count near the typical one."""
    holdout_days: int

    def message(self) -> str:
        """The problem and both remedies."""
        right = min(self.day + ONE_DAY, today())
        return (
            f"the last day with an event, {self.day}, is an outlier: {self.events:,} events against "
            f"{self.typical_events:,.0f} on a typical day, and {self.held_out:,} in the {self.holdout_days} days that "
            "its night would hold out. "
            f"The last typical day is {self.typical_day}: run with --as-of {self.typical_day + ONE_DAY}, or with "
            f"--as-of {right} if the date is right"
        )


def outlier_of(counts: Mapping[date, int], holdout_days: int) -> Outlier | None:
    """The last day as an outlier, from the events per day; none where too few days have events."""
    day = max(counts)
    first_held_out = day - timedelta(days=holdout_days - 1)
    before = sorted(other for other in counts if other < first_held_out)[-TYPICAL_DAYS:]
    if len(before) < FEWEST_DAYS:
        return None
    typical = median(counts[other] for other in before)
    held_out = sum(count for other, count in counts.items() if other >= first_held_out)
    if held_out >= OUTLIER_SHARE * typical:
        return None
    like_others = max(other for other in before if counts[other] >= OUTLIER_SHARE * typical)
    return Outlier(day, counts[day], held_out, typical, like_others, holdout_days)


def outlier_in(counts: Mapping[date, int], settings: Settings) -> Outlier | None:
    """The last day of `events_per_day` as an outlier. A day that is not over does not count as one of the days that a
    night would hold out."""
    return outlier_of(counts, settings.holdout_days + (max(counts) >= today()))


@dataclass(frozen=True)
class AsOf:
    """The `as_of` of a run, and where it comes from."""

    day: date
    origin: str

    def line(self) -> str:
        """The first line of a run's output."""
        return f"as_of {self.day}: the run reads the events before {self.day} 00:00 UTC ({self.origin})"


def choose_as_of(home: Lake, requested: date | None, settings: Settings) -> AsOf:
    """The requested day, else the end of the last complete day: the last day with an event that is over.

    Where no day with an event is over yet, it is the end of the first one. Raises `LakeMissing`, `OutlierDay` where no
    day is requested and the last one is an outlier, and `UnreadableInput` for a day without data.
    """
    home.require()
    if requested is not None:
        require_day_with_data(home, requested, settings)
        return AsOf(requested, "from --as-of")
    days = events_per_day(home, settings)
    if outlier := outlier_in(days, settings):
        raise OutlierDay(f"{home.url}: {outlier.message()}")
    complete = [day for day in days if day < today()]
    if not complete:
        return AsOf(min(days) + ONE_DAY, f"{min(days)}, the first day with an event, is not over yet")
    return AsOf(max(complete) + ONE_DAY, f"{max(complete)} is the last complete day")


def require_day_with_data(home: Lake, as_of: date, settings: Settings) -> None:
    """Raise `UnreadableInput` for a day in the future, or without an earlier event; also `EventStoreUnavailable`."""
    first = min(events_per_day(home, settings)) + ONE_DAY
    last = max(today(), first)
    if not first <= as_of <= last:
        problem = "has no event before it" if as_of < first else "is in the future"
        raise UnreadableInput(f"--as-of {as_of} {problem}; give a day from {first} to {last}")


def today() -> date:
    """The day that has begun, in UTC."""
    return datetime.now(UTC).date()


def events_per_day(home: Lake, settings: Settings) -> Counter[date]:
    """Usable events of each day that has any: ingested ones, and posted ones, which a night ingests before it reads.

    Raises `UnreadableInput` where no day has one, and `EventStoreUnavailable`.
    """
    with closing(EventStore(settings.events_dsn)) as store:
        posted = store.waiting_per_day()
    if posted and not ingested_files(home.url, "events"):
        return posted
    days = usable_events(home).group_by(pl.col(c.TIMESTAMP).dt.date().alias("day")).len().collect()
    counts = posted + Counter(dict(days.iter_rows()))
    if not counts:
        end_of_last_day(home)  # raises with the definition of a usable event
    return counts


def end_of_last_day(home: Lake) -> datetime:
    """The midnight that ends the last day with an ingested event: a night of that day uses all of these."""
    return latest_timestamp(home).replace(hour=0, minute=0, second=0, microsecond=0) + ONE_DAY


def latest_timestamp(home: Lake) -> datetime:
    """The time of the last usable ingested event. Raises `UnreadableInput` where there is none."""
    latest = usable_events(home).select(pl.col(c.TIMESTAMP).max()).collect().item()
    if latest is None:
        raise UnreadableInput(
            f"{home.url}: no ingested event is usable; import events that have a user, an item, one of the actions "
            f"{', '.join(Action)} and a time from 1990 to now"
        )
    moment: datetime = latest
    return moment
