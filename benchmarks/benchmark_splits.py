"""A global split in time: windows of equal length, the last one the test, the one before it the validation.

Everything that is used at a cutoff was learned from events strictly before it, the re-ranker too. Its labels are from
windows that end at or before the cutoff, with features and a retrieval as of each window's own start.
"""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.datasets import INTERACTIONS, Split
from contracts import columns as c
from contracts.errors import BadEvaluationInput, DataMissing
from pipeline.ingestion import ImportRequest, convert
from pipeline.time_splits import TimeSplits, midnight

K = 10
CLOCKS = {
    "ml-100k": "time is that of the data, in seconds",
    "ml-1m": (
        "only each user's own order is known, so the ratings of every user are spread evenly over the same 52 made-up "
        "weeks: a cutoff takes the same share of every user, no user's later ratings train the model, and the order "
        "of the ratings of different users is unknown"
    ),
}
"""The data sets, and what a cutoff in time means in each."""


class WindowsConfig(BaseModel):
    """How time is split, and which windows and users train a re-ranker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.1, gt=0, lt=0.5, description="share of the events in the test window, about: whole days")
    label_windows: int = Field(4, ge=1, description="windows whose labels train a re-ranker")
    max_training_users: int = Field(1500, ge=1, description="users of a window that train, at most; seeded")


def folder_of(data: Path, dataset: str) -> Path:
    """The folder of a data set. Raises `DataMissing`."""
    if dataset not in CLOCKS:
        raise DataMissing(f"{dataset}: no such data set for ranking; choose one of {', '.join(CLOCKS)}")
    if not (data / dataset / INTERACTIONS).exists():
        path = data / dataset / INTERACTIONS
        raise DataMissing(f"{path}: no such file; skipped, give the folder that holds {dataset}/ with --data")
    return data / dataset


def read_events(folder: Path) -> pl.DataFrame:
    """`user_id, item_id, timestamp` as an import ingests them, oldest first."""
    events = pl.concat(convert(ImportRequest("movielens", events=[folder])).frames("events"))
    return events.select(c.USER_ID, c.ITEM_ID, c.TIMESTAMP).sort(c.TIMESTAMP, c.USER_ID, c.ITEM_ID)


def plan_of(timestamps: pl.Series, config: WindowsConfig) -> TimeSplits:
    """The cutoffs of validation and test, at midnights. Raises `BadEvaluationInput` where the days do not suffice."""
    ordered = timestamps.sort()
    first, last, start = ordered[0], ordered[-1], ordered[int((1 - config.share) * len(ordered))]
    as_of: date = last.date() + timedelta(days=1)
    days = max(1, round((midnight(as_of) - start) / timedelta(days=1)))
    cutoffs = tuple(midnight(as_of) - timedelta(days=days) * back for back in (2, 1))
    plan = TimeSplits(as_of, days, config.label_windows, cutoffs, publishes=False)
    if plan.label_cutoffs[0] <= first:
        raise BadEvaluationInput(
            f"{config.label_windows} label windows of {days} days before the validation begin at "
            f"{plan.label_cutoffs[0]:%Y-%m-%d}, before any event; set a smaller windows.share or fewer "
            "windows.label_windows"
        )
    return plan


def split_of(events: pl.DataFrame, plan: TimeSplits, dataset: str) -> Split:
    """The training rows of the peers, and the rows that all methods are evaluated on."""
    validation, test = plan.eval_cutoffs
    return Split(
        dataset,
        train=_before(events, test),
        validation_train=_before(events, validation),
        validation=new_ratings(events, validation, plan.step),
        test=new_ratings(events, test, plan.step),
        ordered=True,
        k=K,
        protocol=_protocol(plan, dataset, _before(events, test).height / events.height),
    )


def new_ratings(events: pl.DataFrame, cutoff: datetime, span: timedelta) -> pl.DataFrame:
    """The items that users with a history rate in the window after a cutoff, if new to them; each pair once."""
    past = _before(events, cutoff)
    window = events.filter((pl.col(c.TIMESTAMP) >= cutoff) & (pl.col(c.TIMESTAMP) < cutoff + span))
    with_history = window.join(past.select(c.USER_ID).unique(), on=c.USER_ID, how="semi", maintain_order="left")
    new = with_history.join(past, on=[c.USER_ID, c.ITEM_ID], how="anti", maintain_order="left")
    return _pairs(new).unique(maintain_order=True)


def _before(events: pl.DataFrame, cutoff: datetime) -> pl.DataFrame:
    return events.filter(pl.col(c.TIMESTAMP) < cutoff)


def _pairs(events: pl.DataFrame) -> pl.DataFrame:
    return events.select(c.USER_ID, c.ITEM_ID)


def _protocol(plan: TimeSplits, dataset: str, share: float) -> str:
    validation, test = plan.eval_cutoffs
    return (
        f"global split in time, windows of {plan.label_days} days: test from {test:%Y-%m-%d} on (the last "
        f"{1 - share:.1%} of the events), validation the window from {validation:%Y-%m-%d}, and the re-ranker used at "
        f"a cutoff learns from the {plan.label_weeks} windows before it, each seen from its own start; "
        f"{CLOCKS[dataset]}. Evaluated are the users with a history before the cutoff, on every item they newly rate "
        "in the window, whatever the rating; full ranking with what they had rated masked"
    )
