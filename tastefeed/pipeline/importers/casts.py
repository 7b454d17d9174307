"""Values of an input column as the contract's types.

Each cast is given a column's name and type and answers with an expression, or with None where that type can never hold
what the contract wants. A single value that cannot be read becomes null; the night refuses its row if it was needed.
"""

from collections.abc import Callable

import polars as pl
import pyarrow as pa
from polars.datatypes import DataTypeClass

from tastefeed.contracts.schemas import INSTANT, STRINGS

Cast = Callable[[str, pl.DataType], pl.Expr | None]

UTC_INSTANT = pl.Datetime("us", "UTC")
CATEGORY_SEPARATOR = "|"

ISO_8601 = (
    r"^\s*(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?<minute>\d{2}:\d{2})(?::(?<second>\d{2}(?:[.,]\d{1,9})?))?"
    r"\s*(?:[Zz]|UTC|(?<sign>[+-])(?<zone_hours>\d{2}):?(?<zone_minutes>\d{2})?)?)?\s*$"
)
EPOCH = r"^\s*-?\d{1,19}(\.\d+)?\s*$"
EPOCH_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0))
"""Unix time below the first number, in size, times the second is microseconds; from 1e17 on it is nanoseconds.

The same limits in every unit: seconds reach to the year 5138, and the others begin in 1973."""


def to_text(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """Text; integers as their digits. An empty text is null."""
    if dtype not in (pl.String, pl.Categorical, pl.Enum) and not dtype.is_integer():
        return None
    text = pl.col(column).cast(pl.String)
    return pl.when(text != "").then(text)


def to_instant(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """UTC microseconds, from datetimes (without a zone: UTC), dates, ISO 8601 texts and Unix time in any unit."""
    value = pl.col(column)
    if isinstance(dtype, pl.Datetime):
        zoned = value.dt.convert_time_zone("UTC") if dtype.time_zone else value.dt.replace_time_zone("UTC")
        return zoned.dt.cast_time_unit("us")
    if dtype == pl.Date:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_integer() or dtype.is_float():
        return _from_epoch(value)
    if dtype == pl.String:
        is_epoch = value.str.contains(EPOCH)
        number = pl.when(is_epoch).then(value.str.strip_chars())
        return pl.when(is_epoch).then(_from_epoch(number.cast(pl.Float64, strict=False))).otherwise(_from_iso(value))
    return None


def _from_epoch(number: pl.Expr) -> pl.Expr:
    size = number.cast(pl.Float64).abs()
    micros = number.cast(pl.Float64) / 1e3
    for below, factor in reversed(EPOCH_UNITS):
        micros = pl.when(size < below).then(number.cast(pl.Float64) * factor).otherwise(micros)
    return micros.round().cast(pl.Int64, strict=False).cast(UTC_INSTANT)


def _from_iso(text: pl.Expr) -> pl.Expr:
    part = text.str.extract_groups(ISO_8601).struct.field
    second = part("second").str.replace(",", ".", literal=True).fill_null("00")
    local = pl.concat_str(part("day"), pl.lit("T"), part("minute").fill_null("00:00"), pl.lit(":"), second)
    instant = local.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", time_zone="UTC", strict=False)
    minutes = part("zone_hours").cast(pl.Int64) * 60 + part("zone_minutes").cast(pl.Int64).fill_null(0)
    east = pl.when(part("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    return instant - pl.duration(minutes=east)


def to_integer(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A 32-bit integer, from whole numbers and their text."""
    number = to_number(column, dtype)
    return None if number is None else pl.when(number == number.round()).then(number).cast(pl.Int32, strict=False)


def to_number(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A finite double, from numbers and their text."""
    if dtype != pl.String and not dtype.is_numeric():
        return None
    number = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def to_flag(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A boolean, from booleans, 0 and 1, and the texts true, false, 0 and 1."""
    if dtype not in (pl.String, pl.Boolean) and not dtype.is_integer():
        return None
    words = pl.col(column).cast(pl.String).str.strip_chars().str.to_lowercase()
    return words.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None)


def to_texts(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A list of texts, from a list or from one text with `|` between them."""
    if dtype == pl.String:
        parts = pl.col(column).str.split(CATEGORY_SEPARATOR).list.eval(pl.element().str.strip_chars())
        return parts.list.eval(pl.element().filter(pl.element() != ""))
    if _holds(dtype, lambda inner: inner in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        return pl.col(column).cast(pl.List(pl.String)).list.drop_nulls()
    return None


def to_vector(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A list of finite floats, from a list of numbers or its JSON text; null where any number is missing."""
    if dtype == pl.String:
        numbers = pl.col(column).str.strip_chars("[] ").str.split(",")
        vector = numbers.list.eval(pl.element().str.strip_chars().cast(pl.Float32, strict=False))
    elif _holds(dtype, lambda inner: inner.is_numeric() or inner == pl.Null):
        vector = pl.col(column).cast(pl.List(pl.Float32))
    else:
        return None
    whole = vector.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
    return pl.when(whole & (vector.list.len() > 0)).then(vector)


def _holds(dtype: pl.DataType, kind: Callable[[pl.DataType | DataTypeClass], bool]) -> bool:
    return isinstance(dtype, pl.List | pl.Array) and kind(dtype.inner)


CASTS: dict[pa.DataType, tuple[str, Cast]] = {
    pa.string(): ("text or integers", to_text),
    INSTANT: ("UTC instants (ISO 8601 or Unix time)", to_instant),
    STRINGS: (f"a list of texts, or one text with {CATEGORY_SEPARATOR!r} between", to_texts),
    pa.list_(pa.float32()): ("a list of finite numbers", to_vector),
    pa.int32(): ("whole numbers", to_integer),
    pa.float64(): ("finite numbers", to_number),
    pa.bool_(): ("true or false", to_flag),
}
"""For each type of the contract: what an error says is wanted, and the cast."""
