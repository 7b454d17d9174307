"""Ingested events become validated events; rows that break the contract go to quarantine with a reason."""

import hashlib
from datetime import datetime
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from contracts import Action, Reason
from contracts import columns as c
from contracts.ids import BLANKS, CONTROL, MAX_ID_LENGTH, WRITTEN_AS_FLOAT
from contracts.instants import CLOCK_SKEW, EARLIEST
from contracts.schemas import EVENTS, EVENTS_WITH_FILE, ITEMS, QUARANTINE
from features.event_filters import without_users
from features.spark_session import conform
from features.time_cutoffs import instant

_CONTENT = tuple(name for name in EVENTS.names if name != c.EVENT_ID)
FINGERPRINT_LENGTH = 12
_SPELLING, _CATALOGUE_ID = "_spelling", "_catalogue_id"


class Validated(NamedTuple):
    """Every ingested event of users who may be read is in exactly one of the two frames."""

    events: DataFrame
    quarantine: DataFrame


def validate(raw_events: DataFrame, items: DataFrame, *, as_of: datetime, opted_out_users: DataFrame) -> Validated:
    """Split ingested events into valid and quarantined ones; see `with_reason`.

    Both frames are lazy and share their plan: a caller that uses both caches `with_reason` and then calls `split`.
    """
    return split(with_reason(raw_events, items, as_of=as_of, opted_out_users=opted_out_users))


def with_reason(raw_events: DataFrame, items: DataFrame, *, as_of: datetime, opted_out_users: DataFrame) -> DataFrame:
    """Ingested events with an id and a `reason`: the first of `Reason` that applies, null for a valid event.

    Events of `opted_out_users` (personalization or erasure) are removed first: not even the quarantine keeps them. A
    row without `event_id` gets one that is derived from its content. Blanks around ids and actions are stripped, and an
    item gets the catalogue's own spelling (`7` where the catalogue has `7` and the event `7.0`).
    """
    raw = _with_event_id(without_users(_stripped(conform(raw_events, EVENTS_WITH_FILE)), opted_out_users))
    known_items = _spelled(conform(items, ITEMS))
    checked = (
        raw.withColumn(c.REASON, _own_reason(instant(as_of)))
        .withColumn(c.REASON, _unless(F.row_number().over(_same_id()) > 1, Reason.DUPLICATE_EVENT_ID))
        .join(known_items, F.col(c.ITEM_ID) == F.col(_SPELLING), "left")
        .withColumn(c.REASON, _unless(F.col(_CATALOGUE_ID).isNull(), Reason.UNKNOWN_ITEM))
        .withColumn(c.ITEM_ID, F.coalesce(_CATALOGUE_ID, c.ITEM_ID))
    )
    return conform(checked, QUARANTINE)


def split(checked: DataFrame) -> Validated:
    """The valid and the quarantined events of `with_reason`."""
    good = F.col(c.REASON).isNull()
    return Validated(events=conform(checked.where(good), EVENTS), quarantine=checked.where(~good))


def _stripped(raw: DataFrame) -> DataFrame:
    """Without blanks around ids and actions: older imports did not strip them."""
    names = (c.USER_ID, c.ITEM_ID, c.ACTION)
    return raw.withColumns({name: F.btrim(name, F.lit(BLANKS)) for name in names})


def _spelled(items: DataFrame) -> DataFrame:
    """Every spelling of a catalogue's ids (`contracts.ids.spellings`) with its id; an id takes precedence over
    the other spelling of another id."""
    item, as_float = F.col(c.ITEM_ID), F.concat(c.ITEM_ID, F.lit(".0"))
    other = F.when(item.rlike(WRITTEN_AS_FLOAT), F.regexp_replace(item, r"\.0$", "")).when(
        as_float.rlike(WRITTEN_AS_FLOAT), as_float
    )
    spelled = items.select(item, F.explode(F.array_compact(F.array(item, other))).alias(_SPELLING))
    return spelled.groupBy(_SPELLING).agg(F.max_by(item, item == F.col(_SPELLING)).alias(_CATALOGUE_ID))


def _with_event_id(raw: DataFrame) -> DataFrame:
    """Derive an id from the content of events that have none: equal content gets an equal id."""
    # JSON separates fields whatever they contain, and null from ""; its own timestamps would lose microseconds
    content = F.struct(*(F.unix_micros(name).alias(name) if name == c.TIMESTAMP else name for name in _CONTENT))
    derived = F.sha2(F.to_json(content, {"ignoreNullFields": "false"}), 256)
    return raw.withColumn(c.EVENT_ID, F.when(_blank(c.EVENT_ID), derived).otherwise(F.col(c.EVENT_ID)))


def _own_reason(as_of: Column) -> Column:
    """The reason to quarantine a row that needs no other row."""
    timestamp, late = F.col(c.TIMESTAMP), F.col(c.TIMESTAMP) >= as_of
    return (
        F.when(_no_id(c.USER_ID) | _no_id(c.ITEM_ID), Reason.NULL_ID.value)
        .when(~F.coalesce(F.col(c.ACTION).isin(*map(str, Action)), F.lit(False)), Reason.UNKNOWN_ACTION.value)
        .when(timestamp.isNull(), Reason.BAD_TIMESTAMP.value)
        .when(timestamp < instant(EARLIEST), Reason.BEFORE_1990.value)
        .when(late & (timestamp > F.col(c.LANDED_AT) + F.lit(CLOCK_SKEW)), Reason.IN_THE_FUTURE.value)
        .when(late, Reason.AFTER_AS_OF.value)
    )


def _same_id() -> WindowSpec:
    """Events of one id, the one to keep first: valid, then earliest import, earliest time, then by content."""
    content = (F.col(name).asc_nulls_last() for name in (c.LANDED_AT, c.TIMESTAMP, *_CONTENT))
    return Window.partitionBy(c.EVENT_ID).orderBy(F.col(c.REASON).isNotNull(), *content)


def _unless(broken: Column, reason: Reason) -> Column:
    """The reason a row already has, else `reason` where it is broken."""
    return F.coalesce(F.col(c.REASON), F.when(broken, reason.value))


def _no_id(name: str) -> Column:
    """Whether a stripped value is not a valid id (`contracts.ids`)."""
    return _blank(name) | (F.length(name) > MAX_ID_LENGTH) | F.col(name).rlike(CONTROL)


def _blank(name: str) -> Column:
    return F.col(name).isNull() | (F.trim(name) == "")


def quarantine_counts(quarantine: DataFrame) -> dict[Reason, int]:
    """Quarantined rows by reason, in the order of `Reason`; a reason without rows is absent. Runs a Spark job."""
    rows = conform(quarantine, QUARANTINE).groupBy(c.REASON).count().collect()
    counts = {row[c.REASON]: int(row["count"]) for row in rows}
    return {reason: counts[reason] for reason in Reason if reason in counts}


def fingerprint(events: DataFrame) -> str:
    """A digest of valid events in twelve letters, the same in every order of rows. Runs a Spark job."""
    # xxhash64 skips nulls, so each column comes with whether it is one
    cells = [cell for name in EVENTS.names for cell in (F.col(name), F.col(name).isNull())]
    sums = (F.sum(F.xxhash64(F.lit(seed), *cells).cast("decimal(38,0)")) for seed in (0, 1))
    totals = conform(events, EVENTS).agg(F.count("*"), *sums).collect()[0]
    return hashlib.sha256(" ".join(map(str, totals)).encode()).hexdigest()[:FINGERPRINT_LENGTH]
