"""Values of an input column as the contract's types.

Each cast takes a column's name and type and returns an expression, or None where that type can never hold what the
contract wants. A single value that cannot be read becomes null; the night quarantines its row if the value is required.
"""

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
from polars.datatypes import DataTypeClass

from contracts.ids import BLANKS
from contracts.schemas import INSTANT, STRINGS
from pipeline.ingestion.id_casts import ID_COLUMNS, TEXTS, as_texts, id_reasons, to_id
from pipeline.ingestion.instant_casts import instant_reasons, to_instant

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


CATEGORY_SEPARATOR = "|"
LONGEST_LIST = 10_000
"""Characters of a list of categories; what is longer is no list of categories."""
LIST_OF_TEXTS = pl.List(pl.String)


def to_texts(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A list of texts, from a list, a text with `|` between, or the text of a JSON or Python list; null where empty."""
    if dtype == pl.String:
        return pl.col(column).map_batches(_lists, return_dtype=LIST_OF_TEXTS)
    inner = (pl.String, pl.Categorical, pl.Enum, pl.Null)
    if _holds(dtype, lambda inner_type: inner_type in inner or inner_type.is_integer()):
        return _not_empty(pl.col(column).cast(LIST_OF_TEXTS))
    return None


def to_vector(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A list of finite floats, from a list or its text with `,` or blanks between; null where any number is missing."""
    if dtype == pl.String:
        inside = pl.col(column).str.strip_chars("[](){}" + BLANKS)
        spaced = inside.str.replace_all(r"\s+", " ").str.split(" ")
        numbers = pl.when(inside.str.contains(",", literal=True)).then(inside.str.split(",")).otherwise(spaced)
        vector = numbers.list.eval(pl.element().str.strip_chars(BLANKS).cast(pl.Float32, strict=False))
    elif _holds(dtype, lambda inner: inner.is_numeric() or inner == pl.Null):
        vector = pl.col(column).cast(pl.List(pl.Float32))
    else:
        return None
    whole = vector.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
    return pl.when(whole & (vector.list.len() > 0)).then(vector)


def list_reasons(lost: pl.Series) -> pl.Series:
    """Why each value of `lost` is no list of texts; null for an empty list, with which nothing is lost."""
    if lost.dtype != pl.String:
        return pl.Series([None] * len(lost), dtype=pl.String)
    reasons = [
        None if _parsed(text) == [] else "are no lists of texts; write | between, or a JSON list" for text in lost
    ]
    return pl.Series(reasons, dtype=pl.String)


def vector_reasons(lost: pl.Series) -> pl.Series:
    """Why each value of `lost` is no vector."""
    return pl.Series(["are no lists of finite numbers; write them as [0.1, 0.2]"] * len(lost), dtype=pl.String)


def _lists(texts: pl.Series) -> pl.Series:
    """Bracketed texts by their distinct values, because a catalogue repeats its categories; others split at `|`."""
    bracketed = texts.str.contains(r"^\s*\[").fill_null(value=False)
    plain = texts.set(bracketed, None).rename("text").to_frame()
    split = plain.select(_not_empty(pl.col("text").str.split(CATEGORY_SEPARATOR))).to_series()
    if not bracketed.any():
        return split
    distinct = texts.filter(bracketed).unique()
    read = pl.DataFrame(
        {"text": distinct, "list": pl.Series([_parsed(text) for text in distinct], dtype=LIST_OF_TEXTS)}
    )
    joined = texts.rename("text").to_frame().join(read, on="text", how="left", maintain_order="left")
    return split.zip_with(~bracketed, joined.select(_not_empty(pl.col("list"))).to_series())


def _not_empty(lists: pl.Expr) -> pl.Expr:
    trimmed = lists.list.eval(pl.element().str.strip_chars(BLANKS))
    texts = trimmed.list.eval(pl.element().filter(pl.element() != ""))
    return pl.when(texts.list.len() > 0).then(texts)


def _parsed(text: str) -> list[str] | None:
    """The list that a text stands for in JSON or Python; None where it is none, or one of other things than texts."""
    if len(text) > LONGEST_LIST:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return _texts_of(parse(text.strip(BLANKS)))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _texts_of(values: Any) -> list[str] | None:
    present = [value for value in values if value is not None] if isinstance(values, list) else [None]
    is_text = all(isinstance(value, str | int) and not isinstance(value, bool) for value in present)
    if not is_text:
        return None
    texts = [str(value) for value in present]
    "".join(texts).encode()  # raises a `ValueError` for half a character, which no text in UTF-8 can hold
    return texts


def _holds(dtype: pl.DataType, kind: Callable[[pl.DataType | DataTypeClass], bool]) -> bool:
    return isinstance(dtype, pl.List | pl.Array) and kind(dtype.inner)


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
