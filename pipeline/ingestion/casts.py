"""Values of an input column as the contract's types.

Each cast is given a column's name and type and answers with an expression, or with None where that type can never hold
what the contract wants. A single value that cannot be read becomes null; the night refuses its row if it was needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from contracts.ids import BLANKS
from contracts.schemas import INSTANT, STRINGS
from pipeline.ingestion.id_casts import ID_COLUMNS, TEXTS, as_texts, id_reasons, to_id
from pipeline.ingestion.instant_casts import instant_reasons, to_instant
from pipeline.ingestion.list_casts import (
    CATEGORY_SEPARATOR,
    list_reasons,
    to_texts,
    to_vector,
    vector_reasons,
)

__all__ = [
    "Cast",
    "Kind",
    "kind_of",
    "to_flag",
    "to_id",
    "to_instant",
    "to_integer",
    "to_number",
    "to_text",
    "to_texts",
    "to_vector",
]

Cast = Callable[[str, pl.DataType], pl.Expr | None]


@dataclass(frozen=True)
class Kind:
    """What a column of the contract holds: in words, how a column is read as such, and why values are lost.

    `reasons` answers for values that became null: the end of the sentence "12 values …", or null where nothing is lost.
    """

    want: str
    cast: Cast
    reasons: Callable[[pl.Series], pl.Series]


def kind_of(field: pa.Field) -> Kind:
    """What a field of the contract holds."""
    return ID if field.name in ID_COLUMNS else KINDS[field.type]


def to_text(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """Text without surrounding blanks; integers as their digits. A blank text is null."""
    if dtype in TEXTS:
        text = pl.col(column).map_batches(as_texts, return_dtype=pl.String).str.strip_chars(BLANKS)
        # stands for a lone surrogate, which no text in UTF-8 can hold
        return pl.when(text != "").then(text.str.replace_all("\0", "\ufffd", literal=True))
    return pl.col(column).cast(pl.String) if dtype.is_integer() else None


def to_integer(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A 32-bit integer, from whole numbers and their text."""
    number = to_number(column, dtype)
    return None if number is None else pl.when(number == number.round()).then(number).cast(pl.Int32, strict=False)


def to_number(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A finite double, from numbers and their text."""
    if dtype != pl.String and not dtype.is_numeric():
        return None
    value = pl.col(column).str.strip_chars(BLANKS) if dtype == pl.String else pl.col(column)
    number = value.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def to_flag(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A boolean, from booleans, 0 and 1, and the texts true, false, 0 and 1."""
    if dtype not in (pl.String, pl.Boolean) and not dtype.is_integer():
        return None
    words = pl.col(column).cast(pl.String).str.strip_chars(BLANKS).str.to_lowercase()
    return words.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None)


def _because(reason: str) -> Callable[[pl.Series], pl.Series]:
    return lambda lost: pl.Series([reason] * len(lost), dtype=pl.String)


ID = Kind("text or integers", to_id, id_reasons)
KINDS = {
    pa.string(): Kind("text or integers", to_text, _because("are not UTF-8")),
    INSTANT: Kind("UTC instants (ISO 8601 or Unix time)", to_instant, instant_reasons),
    STRINGS: Kind(f"a list of texts, or one text with {CATEGORY_SEPARATOR!r} between", to_texts, list_reasons),
    pa.list_(pa.float32()): Kind("a list of finite numbers", to_vector, vector_reasons),
    pa.int32(): Kind("whole numbers", to_integer, _because("are no whole numbers of 32 bits")),
    pa.float64(): Kind("finite numbers", to_number, _because("are no finite numbers; write 0.5, with a point")),
    pa.bool_(): Kind("true or false", to_flag, _because("are neither true nor false; write true, false, 1 or 0")),
}
"""For each type of the contract but ids: what a column holds."""
