"""Whether a lake has enough clicks and saves for models, counted before Spark starts.

The count is an upper bound, because it reads ingested events that the night has not validated. So a shortage here is
certain. A night may find another one later, when it trains.
"""

import polars as pl

from contracts import Flag, SubjectType
from contracts import columns as c
from contracts.errors import UntrainableInput
from contracts.event_rules import POSITIVE
from contracts.opt_out_flags import UNREADABLE, opted_out
from pipeline.ingestion.landing_zone import ingested_files, usable_events
from pipeline.model_refusals import serving_release_stays, settings_text
from pipeline.run_context import RunContext
from serving.releases.manifest import ReducedTo

WEEK = "week"
LIKES = pl.Schema({c.USER_ID: pl.String(), c.TIMESTAMP: pl.Datetime("us", "UTC")})
HELD_OUT = 0
"""The number of the held-out week; the label weeks before it count from 1."""


def shortage_of(night: RunContext) -> UntrainableInput | None:
    """What is missing for models, if anything. Reads no user who has opted out of training or of personalization."""
    weeks = weeks_with_likes(night)
    problems = [problem for problem in (_users(night, weeks), _age(night, weeks)) if problem]
    if not problems:
        problems = [problem for problem in (_returning(night, weeks),) if problem]
    if not problems:
        return None
    reasons = " and ".join(reason for reason, _ in problems)
    controls = tuple(control for _, control in problems)
    return UntrainableInput(f"there is too little data for models: {reasons}", controls)


def announced(night: RunContext) -> str | None:
    """A shortage as one sentence, with what serves after the night; None where there is enough data."""
    shortage = shortage_of(night)
    if shortage is None:
        return None
    kept = serving_release_stays(night, ReducedTo.NON_PROFILED)
    return f"{shortage}; {kept or 'the night publishes the non-profiled list'}"


def weeks_with_likes(night: RunContext) -> pl.DataFrame:
    """Each user and week (a label window, counted back from the end of the data) with a click or save, once."""
    excluded = sorted(opted_out(night.opt_outs, SubjectType.USER, (*UNREADABLE, Flag.TRAINING)))
    before_end = pl.lit(night.splits.end) - pl.col(c.TIMESTAMP)
    week = (before_end.dt.total_microseconds() - 1) // int(night.splits.step.total_seconds() * 1e6)
    likes = pl.concat([ingested_likes(night), posted_likes(night)], how="vertical_relaxed").filter(
        pl.col(c.TIMESTAMP) < night.splits.end, ~pl.col(c.USER_ID).is_in(excluded)
    )
    return likes.select(c.USER_ID, week.alias(WEEK)).unique().collect()


def ingested_likes(night: RunContext) -> pl.LazyFrame:
    """User and time of each ingested click or save."""
    if not ingested_files(night.home.url, "events"):
        return pl.LazyFrame(schema=LIKES)
    likes = usable_events(night.home).filter(pl.col(c.ACTION).is_in(list(map(str, POSITIVE))))
    return likes.select(LIKES.names())


def posted_likes(night: RunContext) -> pl.LazyFrame:
    """User and day of each posted click or save that no night has ingested yet. Weeks begin and end at midnight, so
    the day suffices."""
    return pl.LazyFrame(night.pending_events.waiting_likes(), schema=LIKES, orient="row")


def _users(night: RunContext, weeks: pl.DataFrame) -> tuple[str, str] | None:
    users, wanted = weeks[c.USER_ID].n_unique(), night.config.gates.min_users
    if users >= wanted:
        return None
    have = f"{users} user{'s' * (users != 1)} {'have' if users != 1 else 'has'} a click or save"
    return f"{have}, {wanted} are asked for", f"users: {settings_text({'GATES__MIN_USERS': wanted})}"


def _age(night: RunContext, weeks: pl.DataFrame) -> tuple[str, str] | None:
    oldest = weeks[WEEK].max()
    if weeks.is_empty() or (isinstance(oldest, int) and oldest > HELD_OUT + 1):
        return None
    days = night.splits.label_days
    reason = f"no click or save is older than {2 * days} days before {night.splits.as_of}"
    return reason, f"age: {settings_text({'HOLDOUT_DAYS': days})}"


def _returning(night: RunContext, weeks: pl.DataFrame) -> tuple[str, str] | None:
    """The re-ranker learns from users that act in a label week and before it."""
    labels = weeks.filter(pl.col(WEEK).is_between(HELD_OUT + 1, night.splits.label_weeks))
    earliest = weeks.group_by(c.USER_ID).agg(pl.col(WEEK).max().alias("earliest"))
    if not labels.join(earliest, on=c.USER_ID).filter(pl.col("earliest") > pl.col(WEEK)).is_empty():
        return None
    days, count = night.splits.label_days, night.splits.label_weeks
    reason = f"no user has a click or save in one of the {count} label weeks and one before it"
    return reason, f"label weeks: {settings_text({'LABEL_WEEKS': count, 'HOLDOUT_DAYS': days})}"
