"""The share of broken rows among the ingested events, and the limit above which a night stops."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from contracts import HARMLESS, Reason
from contracts import columns as c
from contracts.errors import TooManyBadRows
from contracts.instants import CLOCK_SKEW, EARLIEST
from contracts.schemas import QUARANTINE
from features.spark_session import conform
from features.time_cutoffs import instant

_SAME_ROW = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP)
_ROWS, _GOOD, _BROKEN, _OF_FILE, _TIME = "_rows", "_good", "_broken", "_of_file", "_time"
_BEFORE, _LATER, _NO_TIME = "before", "later", "no time"


class BadShare(NamedTuple):
    """The share of broken rows, and the file of the landing zone with the most of them (none: no row is broken)."""

    share: float
    file: str | None = None
    rows_of_file: int = 0


def bad_share(checked: DataFrame, counts: Mapping[Reason, int], *, as_of: datetime) -> BadShare:
    """The share of broken rows before `as_of` in the rows of `with_reason`; `counts` are the refused rows by reason.
    Runs a Spark job where some are broken.

    Files may overlap: a row counts as often as the file that has it most often. Rows of `as_of` and later do not count.
    A row without a usable time counts in proportion to the rows before `as_of` among those with a time.
    """
    if not _broken(counts):
        return BadShare(0.0)
    totals = _in_files(conform(checked, QUARANTINE), instant(as_of)).groupBy(c.FILE, _TIME)
    files = totals.agg(*(F.sum(name).alias(name) for name in (_ROWS, _BROKEN, _OF_FILE))).collect()
    return BadShare(_share(files), *_worst(files))


def _in_files(checked: DataFrame, as_of: Column) -> DataFrame:
    """One row for each distinct row and file, with its `_time`. Only the file that has the row most often has `_rows`
    and, of those, `_broken`; each has `_of_file`, the broken rows there."""
    good = F.max(F.col(c.REASON).isNull().cast("int"))
    of_file = checked.groupBy(*_SAME_ROW, c.FILE).agg(
        F.count("*").alias(_ROWS), good.alias(_GOOD), F.max(c.LANDED_AT).alias(c.LANDED_AT)
    )
    same = Window.partitionBy(*_SAME_ROW)
    counted = (F.row_number().over(same.orderBy(F.desc(_ROWS), c.FILE)) == 1).cast("int")
    broken = F.col(_ROWS) - F.max(_GOOD).over(same)
    timed = of_file.withColumn(c.LANDED_AT, F.max(c.LANDED_AT).over(same)).withColumn(_TIME, _time(as_of))
    return timed.withColumns({_ROWS: counted * F.col(_ROWS), _BROKEN: counted * broken, _OF_FILE: broken})


def _time(as_of: Column) -> Column:
    """Whether a row is before `as_of`, later, or has no time that can be right."""
    timestamp = F.col(c.TIMESTAMP)
    return (
        F.when(timestamp.isNull() | (timestamp < instant(EARLIEST)), _NO_TIME)
        .when(timestamp < as_of, _BEFORE)
        .when(timestamp > F.col(c.LANDED_AT) + F.lit(CLOCK_SKEW), _NO_TIME)
        .otherwise(_LATER)
    )


def _share(files: Sequence[Row]) -> float:
    def total(time: str, column: str = _ROWS) -> int:
        return sum(row[column] for row in files if row[_TIME] == time)

    before, later = total(_BEFORE), total(_LATER)
    untimed = total(_NO_TIME) * (before / (before + later) if later else 1)
    considered = before + untimed
    return float((total(_BEFORE, _BROKEN) + untimed) / considered) if considered else 0.0


def _worst(files: Sequence[Row]) -> tuple[str | None, int]:
    """The file with the most broken rows that count, and their number."""
    broken = Counter[str]()
    for row in files:
        broken[row[c.FILE]] += row[_OF_FILE] if row[_TIME] != _LATER else 0
    file, rows = max(broken.items(), key=lambda each: (each[1], each[0]), default=(None, 0))
    return (file, rows) if rows else (None, 0)


def accept(bad: BadShare, counts: Mapping[Reason, int], *, max_bad_share: float) -> None:
    """Raise `TooManyBadRows` where the share is above `max_bad_share`; `counts` are the refused rows by reason."""
    if bad.share > max_bad_share:
        reasons = ", ".join(f"{reason} {count}" for reason, count in _broken(counts).items())
        raise TooManyBadRows(
            f"{bad.share:.2%} of the ingested events are broken ({reasons}), accepted are {max_bad_share:.2%}; "
            f"look at the table quarantine: {remedy(bad, counts)}, or raise TASTEFEED_MAX_BAD_SHARE"
        )


def remedy(bad: BadShare, counts: Mapping[Reason, int]) -> str:
    """What to do about the broken rows, as text: import the items that they lack, or take the worst file back."""
    broken = _broken(counts)
    if max(broken, key=lambda reason: broken[reason]) == Reason.UNKNOWN_ITEM:
        return "import the items that the events name with --items"
    return (
        f"{bad.file} has the most ({bad.rows_of_file:,}); remove that file from the lake and import the corrected one"
    )


def _broken(counts: Mapping[Reason, int]) -> dict[Reason, int]:
    return {reason: count for reason, count in counts.items() if reason not in HARMLESS}
