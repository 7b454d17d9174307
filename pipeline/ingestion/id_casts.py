"""A column of ids: `contracts.ids.read_id` for every value at once, and what only a whole column shows.

pandas writes an integer column that holds a null as floats: as text `42.0`, in parquet as doubles. A column whose every
value is such a number is read as integers; in a mixed text column `42.0` stays what it is.
"""

import polars as pl
from polars.datatypes import DataTypeClass
from polars.exceptions import PolarsError

from contracts import columns as c
from contracts.ids import BLANKS, CONTROL, MAX_ID_LENGTH, WRITTEN_AS_FLOAT

ID_COLUMNS = (c.USER_ID, c.ITEM_ID, c.EVENT_ID, c.SESSION_ID, c.REQUEST_ID, c.CREATOR_ID, c.SUBJECT_ID)
TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Binary)
"""Column types that hold text; some writers of parquet mark it as bytes."""
EXACT_BITS: dict[pl.DataType | DataTypeClass, int] = {pl.Float16: 11, pl.Float32: 24, pl.Float64: 53}
"""From 2 to this power on, floats of a type cannot distinguish neighbouring integers."""
PLACEHOLDERS = (
    "null", "(null)", "none", "nil", "nan", "<na>", "na", "n/a", "#n/a", r"\n", "undefined", "(not set)", "-",
    "[object object]", "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
"""What software writes where a value is missing, in lower case. `0` and `-1` are ids of many data sets."""


def to_id(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """Ids as text; null where `read_id` refuses the value, or where the column as a whole cannot be exact integers."""
    value = pl.col(column)
    if dtype in TEXTS:
        return value.map_batches(_from_texts, return_dtype=pl.String)
    if dtype.is_integer():
        return value.cast(pl.String)
    if dtype.is_float() or dtype.is_decimal():
        return value.map_batches(_from_numbers, return_dtype=pl.String)
    return None


def as_texts(values: pl.Series) -> pl.Series:
    """Texts of a type among `TEXTS` as strings; bytes that are not UTF-8 are null."""
    try:
        return values.cast(pl.String)
    except PolarsError:
        return pl.Series(values.name, [_decoded(value) for value in values], pl.String)


def is_placeholder(ids: pl.Series) -> pl.Series:
    """Which ids are what software writes for a missing value."""
    return ids.str.to_lowercase().is_in(PLACEHOLDERS).fill_null(value=False)


def note_of(given: pl.Series, read: pl.Series) -> str | None:
    """A note about a column that was read as integers, though it was not written so."""
    if given.dtype.is_float() or given.dtype.is_decimal():
        count = len(read) - read.null_count()
    elif given.dtype == pl.String:
        changed = given.str.strip_chars(BLANKS).str.ends_with(".0") & ~read.str.ends_with(".0")
        count = int(changed.sum())
    else:
        return None
    return f"{count:,} values are integers that end in .0, as pandas writes them; the .0 was dropped" if count else None


def id_reasons(lost: pl.Series) -> pl.Series:
    """Why each value of `lost` is no id, or why its column holds none."""
    if lost.dtype.is_float() or lost.dtype.is_decimal():
        return _number_reasons(lost)
    texts = as_texts(lost).str.strip_chars(BLANKS).rename("text")
    length = pl.col("text").str.len_chars()
    reason = (
        pl.when(length.is_null())
        .then(pl.lit("are not UTF-8"))
        .when(length > MAX_ID_LENGTH)
        .then(pl.lit(f"are longer than {MAX_ID_LENGTH} characters"))
        .otherwise(pl.lit("hold a control character or a lone surrogate"))
    )
    return texts.to_frame().select(reason.alias("reason")).to_series()


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _from_texts(values: pl.Series) -> pl.Series:
    texts = as_texts(values).str.strip_chars(BLANKS)
    length = texts.str.len_chars()
    refused = (length == 0) | (length > MAX_ID_LENGTH) | texts.str.contains(CONTROL)
    ids = texts.set(refused.fill_null(value=False), None) if refused.any() else texts
    return ids.str.strip_suffix(".0") if _holds_only_floats(ids) else ids


def _holds_only_floats(ids: pl.Series) -> bool:
    written = ids.str.ends_with(".0")
    if not written.any():
        return False
    rest = ids.filter(~written & ~is_placeholder(ids))
    return rest.is_empty() and bool(ids.filter(written).str.contains(WRITTEN_AS_FLOAT).all())


def _from_numbers(values: pl.Series) -> pl.Series:
    numbers = values.fill_nan(None) if values.dtype.is_float() else values
    if inexact(numbers).any() or (numbers != numbers.round()).any():
        return pl.Series(values.name, [None] * len(values), pl.String)
    return numbers.cast(pl.Int128).cast(pl.String)


def inexact(numbers: pl.Series) -> pl.Series:
    """Which numbers are floats so large that their type may have rounded them."""
    bits = EXACT_BITS.get(numbers.dtype)
    return numbers.is_null() & False if bits is None else numbers.abs() >= 2**bits


def _number_reasons(numbers: pl.Series) -> pl.Series:
    if inexact(numbers).any():
        power = EXACT_BITS[numbers.dtype]
        reason = f"are in a column with floats of 2^{power} and more, which may have lost digits"
    else:
        reason = "are in a column with fractions"
    return pl.Series([f"{reason}; export ids as text or integers"] * len(numbers), dtype=pl.String)
