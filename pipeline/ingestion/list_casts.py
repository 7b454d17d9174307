"""Columns of lists: categories and embeddings, as lists or as the texts that JSON, Python, NumPy and SQL write."""

import ast
import json
from collections.abc import Callable
from typing import Any

import polars as pl
from polars.datatypes import DataTypeClass

from contracts.ids import BLANKS

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
    """Bracketed texts by their distinct values, for a catalogue repeats its categories; all others split at `|`."""
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
    known = [value for value in values if value is not None] if isinstance(values, list) else [None]
    is_text = all(isinstance(value, str | int) and not isinstance(value, bool) for value in known)
    if not is_text:
        return None
    texts = [str(value) for value in known]
    "".join(texts).encode()  # raises a `ValueError` for half a character, which no text in UTF-8 can hold
    return texts


def _holds(dtype: pl.DataType, kind: Callable[[pl.DataType | DataTypeClass], bool]) -> bool:
    return isinstance(dtype, pl.List | pl.Array) and kind(dtype.inner)
