"""Events of any number for the benchmark of features: drawn at random from one seed.

A few items have most clicks, and a few users most events, as on a real site. Events come in visits.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from contracts import Action
from contracts import columns as c
from contracts.schemas import EVENTS, ITEMS

EVENTS_A_VISIT, VISIT_SECONDS = 5, 1200
ITEMS_A_CREATOR, CATEGORIES = 20, 50
SHARES = {Action.IMPRESSION: 0.55, Action.CLICK: 0.38, Action.SAVE: 0.05, Action.HIDE: 0.02}
"""How often each action occurs."""
SKEW = 3.0
"""The fraction x of users or items with the most events has a share x ** (1 / SKEW) of all events."""


@dataclass(frozen=True)
class EventsSize:
    """How many events there are, and of what."""

    events: int
    users: int
    items: int
    days: int
    as_of: date = date(2017, 3, 1)
    """The day at whose beginning the events end."""

    @property
    def begin(self) -> datetime:
        """The first instant that an event may have."""
        end = datetime.combine(self.as_of, datetime.min.time(), UTC)
        return end - timedelta(days=self.days)


def synthetic_items(size: EventsSize) -> pl.DataFrame:
    """The catalogue, as `schemas.ITEMS`; every item exists before the first event."""
    row = pl.int_range(size.items, eager=True)
    return pl.DataFrame(
        {
            c.ITEM_ID: row.cast(pl.String),
            c.TITLE: pl.select(pl.format("Item {}", row)).to_series(),
            c.CREATOR_ID: (row // ITEMS_A_CREATOR).cast(pl.String),
            c.CATEGORIES: (row % CATEGORIES).cast(pl.String).reshape((size.items, 1)).arr.to_list(),
            c.LANGUAGE: pl.repeat("en", size.items, eager=True),
            c.CREATED_AT: pl.repeat(size.begin - timedelta(days=1), size.items, eager=True),
        }
    ).select(_columns({c.ITEM_ID, c.TITLE, c.CREATOR_ID, c.CATEGORIES, c.LANGUAGE, c.CREATED_AT}, ITEMS))


def synthetic_events(size: EventsSize, seed: int) -> pl.DataFrame:
    """The events, as `schemas.EVENTS`, in no order."""
    random = np.random.default_rng(seed)
    visit = np.arange(size.events) // EVENTS_A_VISIT
    visits = int(visit[-1]) + 1
    users = _skewed(random, size.users, visits)
    begins = random.integers(0, size.days * 86_400 - VISIT_SECONDS, visits)
    seconds = begins[visit] + random.integers(0, VISIT_SECONDS, size.events)
    actions = random.choice(np.array([each.value for each in SHARES]), size.events, p=list(SHARES.values()))
    return pl.DataFrame(
        {
            c.EVENT_ID: pl.int_range(size.events, eager=True).cast(pl.String),
            c.USER_ID: pl.Series(users[visit]).cast(pl.String),
            c.ITEM_ID: pl.Series(_skewed(random, size.items, size.events)).cast(pl.String),
            c.ACTION: actions,
            c.TIMESTAMP: pl.Series(seconds * 1_000_000).cast(pl.Duration("us")) + size.begin,
        }
    ).select(_columns({c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP}, EVENTS))


def _columns(given: Collection[str], schema: pa.Schema) -> list[pl.Expr]:
    """Every column of a table; what is not given is null."""
    return [
        (pl.col(name) if name in given else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in pl.Schema(schema).items()
    ]


def _skewed(random: np.random.Generator, count: int, draws: int) -> np.ndarray:
    """[draws] rows below `count`, of which the first occur most."""
    return (count * random.random(draws) ** SKEW).astype(np.int64)
