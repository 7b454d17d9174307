"""A column of instants: `contracts.instants.read_instant` for every value at once.

Each function takes a series and answers with one of UTC microseconds, null where the value is no instant.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from contracts.instants import COMPACT, EPOCH_UNITS, ISO_8601, NUMBER
from pipeline.ingestion.id_casts import inexact

UTC_INSTANT = pl.Datetime("us", "UTC")
SPACES = " \t\n\r\f\v"
ASCII = "(?-u)"
"""Put before a regular expression: digits and blanks are those of ASCII, as `read_instant` has it."""
FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
DAY_US, HOUR_US, MINUTE_US, SECOND_US = (
    timedelta(**{unit: 1}) // timedelta(microseconds=1) for unit in ("days", "hours", "minutes", "seconds")
)
COMPACT_NUMBERS = ((19_000_000, 21_000_000), (190_000_000_000, 210_000_000_000), (19 * 10**12, 21 * 10**12))
"""Numbers whose digits may be a date: of 8, 12 and 14 digits, from 1900 to before 2100."""
SHORT_FLOATS = (pl.Float16, pl.Float32)
"""Types that round Unix time, by up to a minute, and dates as numbers."""


def to_instant(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """UTC microseconds, from datetimes (without a zone: UTC), dates, ISO 8601, its compact forms and Unix time."""
    value = pl.col(column)
    if isinstance(dtype, pl.Datetime):
        zoned = value.dt.convert_time_zone("UTC") if dtype.time_zone else value.dt.replace_time_zone("UTC")
        return zoned.dt.cast_time_unit("us").map_batches(_in_range, return_dtype=UTC_INSTANT)
    if dtype == pl.Date:
        midnight = value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return midnight.map_batches(_in_range, return_dtype=UTC_INSTANT)
    if dtype.is_integer() or dtype.is_float():
        return value.map_batches(_from_numbers, return_dtype=UTC_INSTANT)
    if dtype == pl.String:
        return value.map_batches(_from_texts, return_dtype=UTC_INSTANT)
    return None


def instant_reasons(lost: pl.Series) -> pl.Series:
    """Why each value of `lost` is no instant."""
    text = pl.col("text")
    reason = (
        pl.when(pl.col("rounded"))
        .then(pl.lit("are floats of 32 bits or fewer, which round instants; export them as integers or float64"))
        .when(text.str.contains(ASCII + ISO_8601) | text.str.contains(ASCII + COMPACT))
        .then(pl.lit("are no day of the calendar, or outside of the years 1 to 9999"))
        .when(text.str.contains(ASCII + NUMBER))
        .then(pl.lit("are too small or too large for Unix time; write ISO 8601, or Unix time from 10^8 on"))
        .otherwise(pl.lit("are neither ISO 8601 nor Unix time; write them as 2017-03-01T12:00:00Z"))
    )
    texts = pl.DataFrame({"text": lost.cast(pl.String), "rounded": _rounded(lost)})
    return texts.select(reason.alias("reason")).to_series()


def _rounded(values: pl.Series) -> pl.Series:
    return inexact(values) if values.dtype in SHORT_FLOATS else values.is_null() & False


def _from_texts(texts: pl.Series) -> pl.Series:
    return _first_that_matches(texts, (ISO_8601, COMPACT))


def _first_that_matches(texts: pl.Series, patterns: tuple[str, ...]) -> pl.Series:
    """What the first pattern reads, the rest by the next one; a text of no pattern may be Unix time."""
    if texts.null_count() == len(texts):
        return pl.Series(texts.name, [None] * len(texts), UTC_INSTANT)
    if not patterns:
        trimmed = texts.str.strip_chars(SPACES)
        numbers = trimmed.set(~trimmed.str.contains(ASCII + NUMBER).fill_null(value=False), None)
        return _from_epoch(numbers.cast(pl.Float64, strict=False))
    pattern, *others = patterns
    parts = texts.str.extract_groups(ASCII + pattern).struct.unnest()
    matched = parts["year"].is_not_null()
    read = _from_parts(parts)
    if (matched | texts.is_null()).all():
        return read
    rest = _first_that_matches(texts.set(matched, None), tuple(others))
    return read.zip_with(matched, rest)


def _from_parts(parts: pl.DataFrame) -> pl.Series:
    number = {
        name: pl.col(name).cast(pl.Int64).fill_null(0)
        for name in ("hour", "minute", "second", "zone_hours", "zone_minutes")
    }
    day = pl.concat_str("year", "month", "day", separator="-").str.to_date("%Y-%m-%d", strict=False)
    micros = pl.col("fraction").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    east = number["zone_hours"] * HOUR_US + number["zone_minutes"] * MINUTE_US
    local = (
        day.to_physical().cast(pl.Int64) * DAY_US
        + number["hour"] * HOUR_US
        + number["minute"] * MINUTE_US
        + number["second"] * SECOND_US
        + micros
    )
    utc = local - pl.when(pl.col("sign") == "-").then(-east).otherwise(east)
    in_calendar = pl.when(day >= FIRST.date()).then(utc)
    return _in_range(parts.select(in_calendar.cast(UTC_INSTANT).alias("instant")).to_series())


def _from_numbers(given: pl.Series) -> pl.Series:
    rounded = _rounded(given)
    numbers = given.set(rounded, None) if rounded.any() else given
    doubles = numbers.cast(pl.Float64)
    instants = _from_epoch(doubles)
    dates = pl.Series([False]).new_from_index(0, len(numbers))
    for low, high in COMPACT_NUMBERS:
        dates |= ((doubles >= low) & (doubles < high)).fill_null(value=False)
    if not dates.any():
        return instants
    return instants.scatter(dates.arg_true(), _first_that_matches(_digits(numbers.filter(dates)), (COMPACT,)))


def _digits(numbers: pl.Series) -> pl.Series:
    if numbers.dtype.is_integer():
        return numbers.cast(pl.String)
    doubles = numbers.cast(pl.Float64)
    return doubles.cast(pl.Int64).cast(pl.String).zip_with(doubles == doubles.floor(), doubles.cast(pl.String))


def _from_epoch(numbers: pl.Series) -> pl.Series:
    number = pl.col("number")
    micros = pl.lit(None, pl.Float64)
    for below, factor in reversed(EPOCH_UNITS):
        scaled = pl.lit(None, pl.Float64) if factor is None else number * factor
        micros = pl.when(number.abs() < below).then(scaled).otherwise(micros)
    instant = micros.round(mode="half_to_even").cast(pl.Int64, strict=False).cast(UTC_INSTANT)
    return _in_range(numbers.rename("number").to_frame().select(instant).to_series())


def _in_range(instants: pl.Series) -> pl.Series:
    outside = ((instants < FIRST) | (instants > LAST)).fill_null(value=False)
    return instants.set(outside, None) if outside.any() else instants
