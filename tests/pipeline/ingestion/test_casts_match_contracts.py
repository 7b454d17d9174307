"""The casts of whole columns and the readers of single values (`contracts.ids`, `contracts.instants`) are one rule."""

import math
import re
from datetime import datetime
from typing import Any

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.errors import BadId
from contracts.ids import WRITTEN_AS_FLOAT, read_id
from contracts.instants import read_instant
from pipeline.ingestion.casts import Cast
from pipeline.ingestion.id_casts import PLACEHOLDERS, to_id
from pipeline.ingestion.instant_casts import to_instant

BLANK_OR_ODD = st.sampled_from(list(" \t\n\x00\x1f\x7f\x85\xa0\u2003\u3000\u200b\ufeff|/%.0"))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.one_of(st.floats(), INTEGERS.map(float), st.integers(-(10**15), 10**15).map(float))
WRITTEN_FLOATS = st.one_of(INTEGERS.map(lambda number: f"{number}.0"), st.sampled_from(["-0.0", "00.0", "1.00", ".0"]))
ID_TEXTS = st.one_of(
    st.text(max_size=6),
    st.lists(st.one_of(BLANK_OR_ODD, st.characters(codec="utf-8")), max_size=9).map("".join),
    WRITTEN_FLOATS,
    st.builds(lambda length, pad: pad + "x" * length + pad, st.integers(510, 514), st.sampled_from(["", " "])),
)
DIGITS = st.text("0123456789", min_size=1, max_size=21)
TIME = r"[T ][0-2]\d:[0-5]\d(:[0-6]\d([.,]\d{1,9})?)?"
INSTANT_TEXTS = st.one_of(
    st.text(max_size=8),
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.from_regex(rf"\A\s?[09]\d\d[0-9]-[01]\d-[0-3]\d({TIME}( ?(Z|UTC|[+-][0-2]\d(:?[0-5]\d)?))?)?\s?\Z"),
    st.from_regex(r"\A(19|20)\d\d[01]\d[0-3]\d(T?[0-2]\d[0-5]\d([0-6]\d(\.\d{1,7})?)?(Z|[+-]\d\d)?)?\Z"),
    st.from_regex(r"\A[ ]?[+-]?\d{1,19}(\.\d{0,4})?([eE][+-]?\d{1,3})?[ ]?\Z"),
    DIGITS,
)  # fmt: skip
INSTANT_INTEGERS = st.one_of(
    INTEGERS,
    st.datetimes().map(lambda day: int(f"{day:%Y%m%d}")),
    st.datetimes().map(lambda at: int(f"{at:%Y%m%d%H%M%S}")),
)


def cast(with_cast: Cast, values: list[Any], dtype: Any) -> list[Any]:
    frame = pl.DataFrame({"v": pl.Series(values, dtype=dtype)})
    value = with_cast("v", frame.schema["v"])
    assert value is not None
    return frame.select(value).to_series().to_list()


def id_or_none(value: object) -> str | None:
    try:
        return read_id(value)
    except BadId:
        return None


def is_written_as_float(text: str | None) -> bool:
    return text is not None and re.match(WRITTEN_AS_FLOAT, text) is not None


@given(ID_TEXTS)
def test_an_id_alone_in_its_column(text: str) -> None:
    assert cast(to_id, [text], pl.String) == [id_or_none(text)]


@given(st.lists(ID_TEXTS))
@example(["42.0", None, " 43.0", "\x00"])
@example(["42.0", "nan", "None"])
@example(["42.0", "x"])
def test_a_column_of_id_texts(texts: list[str | None]) -> None:
    read = cast(to_id, texts, pl.String)
    # a text that is not written as a float is read alike everywhere; a mixed column keeps those that are
    stripped = [None if id_or_none(text) is None else cast(to_id, [text, "x"], pl.String)[0] for text in texts]
    values = [text for text in stripped if text is not None and text.lower() not in PLACEHOLDERS]
    is_whole = all(map(is_written_as_float, values))
    expected = [id_or_none(text) if is_whole or not is_written_as_float(kept) else kept for text, kept in
                zip(texts, stripped, strict=True)]  # fmt: skip
    assert read == expected


@given(st.lists(INTEGERS))
def test_a_column_of_integers(ids: list[int]) -> None:
    assert cast(to_id, ids, pl.Int64) == [read_id(number) for number in ids]


@given(FLOATS)
def test_a_float_alone_in_its_column(number: float) -> None:
    assert cast(to_id, [number], pl.Float64) == [id_or_none(number)]


@given(st.lists(FLOATS))
def test_a_column_of_floats_is_read_or_refused_as_a_whole(numbers: list[float]) -> None:
    each = [id_or_none(number) for number in numbers]
    refused = any(read is None and not math.isnan(number) for read, number in zip(each, numbers, strict=True))
    assert cast(to_id, numbers, pl.Float64) == ([None] * len(numbers) if refused else each)


@given(st.lists(INSTANT_TEXTS, min_size=1))
@example(["9999-12-31T23:59:59-12:00", "0001-01-01T00:00+12:00", "0000-01-01", "2017-02-29"])
@example(
    ["20170301", "20170301T120000Z", "201703011200", "20170301120000.25", "20171301", "1.4579568E9", "5.", "1e400"]
)
@example(["2017-03-01T12:00:00.1234567", "２０１７-03-01", "\xa02017-03-01", "2017-03-01\n"])
def test_a_column_of_instant_texts(texts: list[str]) -> None:
    assert cast(to_instant, texts, pl.String) == [read_instant(text) for text in texts]


@given(st.lists(INSTANT_INTEGERS, min_size=1))
@example([20170301, 201703011200, 20170301120000, 99_999_999, 100_000_000, -99_999_999, 20170399])
def test_a_column_of_instant_integers(numbers: list[int]) -> None:
    assert cast(to_instant, numbers, pl.Int64) == [read_instant(number) for number in numbers]


@given(st.lists(st.one_of(FLOATS, INSTANT_INTEGERS.map(float), st.floats(1e13, 3e13)), min_size=1))
@example([20170301.0, 20170301120000.5, 1457956800.25, math.inf, math.nan, 1e19, 2.0170301120000001e13])
def test_a_column_of_instant_floats(numbers: list[float]) -> None:
    assert cast(to_instant, numbers, pl.Float64) == [read_instant(number) for number in numbers]
