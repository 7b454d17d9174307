from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingestion.casts import (
    Cast,
    to_flag,
    to_instant,
    to_integer,
    to_number,
    to_text,
    to_texts,
    to_vector,
)
from pipeline.ingestion.instant_casts import instant_reasons

NOON = datetime(2016, 3, 14, 12, tzinfo=UTC)
EPOCH_S = 1457956800  # NOON


def cast(with_cast: Cast, *values: Any, dtype: Any = None) -> list[Any] | None:
    frame = pl.DataFrame({"v": pl.Series(values, dtype=dtype, strict=False)})
    value = with_cast("v", frame.schema["v"])
    return None if value is None else frame.select(value).to_series().to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2016-03-14T12:00:00Z",
        "2016-03-14 12:00:00",
        " 2016-03-14 12:00 ",
        "2016-03-14T12:00:00.000000",
        "2016-03-14T12:00:00,0 UTC",
        "2016-03-14T09:00:00-03:00",
        "2016-03-14 17:30:00+0530",
        "2016-03-14 13:00:00+01",
        str(EPOCH_S),
        f"{EPOCH_S}.0",
        f"{EPOCH_S}000",
        f"{EPOCH_S}000000",
    ],
)
def test_texts_that_mean_noon_utc(text: str) -> None:
    assert cast(to_instant, text) == [NOON]


@pytest.mark.parametrize("text", ["yesterday", "2016-02-30", "14.03.2016", "2016-03-14T25:00:00", "2016-03-14x", ""])
def test_texts_that_are_no_instant_become_null(text: str) -> None:
    assert cast(to_instant, text) == [None]


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_unix_time_in_any_unit(factor: int) -> None:
    assert cast(to_instant, EPOCH_S * factor, None) == [NOON, None]


def test_unix_seconds_keep_their_fraction() -> None:
    assert cast(to_instant, EPOCH_S + 0.25, float("nan")) == [NOON.replace(microsecond=250_000), None]


@pytest.mark.parametrize("dtype", [pl.Float16, pl.Float32])
@pytest.mark.parametrize("number", [EPOCH_S, 20160314])
def test_floats_that_round_instants_are_refused_with_the_remedy(number: int, dtype: Any) -> None:
    assert cast(to_instant, float(number), None, dtype=dtype) == [None, None]
    (reason,) = instant_reasons(pl.Series([float(number)], dtype=dtype))
    assert reason == "are floats of 32 bits or fewer, which round instants; export them as integers or float64"
    assert "too small" in instant_reasons(pl.Series([17.0], dtype=dtype))[0]


def test_dates_and_datetimes_without_a_zone_are_utc() -> None:
    assert cast(to_instant, NOON.replace(tzinfo=None)) == [NOON]
    assert cast(to_instant, date(2016, 3, 14)) == [NOON.replace(hour=0)]
    assert cast(to_instant, NOON, dtype=pl.Datetime("ns", "America/Sao_Paulo")) == [NOON]


def test_a_boolean_is_no_instant() -> None:
    assert cast(to_instant, True) is None
    assert cast(to_instant, [1]) is None


@given(st.lists(st.datetimes(NOON.replace(year=1990, tzinfo=None), NOON.replace(year=2100, tzinfo=None)), min_size=1))
def test_iso_texts_come_back_as_they_were(instants: list[datetime]) -> None:
    utc = [instant.replace(tzinfo=UTC) for instant in instants]
    assert cast(to_instant, *(instant.isoformat() for instant in utc)) == utc


def test_text_takes_integers_and_refuses_floats() -> None:
    assert cast(to_text, 7, -9223372036854775808) == ["7", "-9223372036854775808"]
    assert cast(to_text, "a", "", " ", dtype=pl.Categorical) == ["a", None, None]
    assert cast(to_text, 7.0) is None
    assert cast(to_text, True) is None


def test_numbers_are_read_from_text_and_fractions_are_no_integers() -> None:
    assert cast(to_integer, "3", "x", "1.5", "99999999999") == [3, None, None, None]
    assert cast(to_integer, 3.0, 1.5) == [3, None]
    assert cast(to_number, "0.25", "inf", "") == [0.25, None, None]
    assert cast(to_number, True) is None
    assert cast(to_integer, [1]) is None


def test_flags_are_read_from_words_and_digits() -> None:
    assert cast(to_flag, "True", " false", "1", "0", "maybe") == [True, False, True, False, None]
    assert cast(to_flag, 1, 0, 2) == [True, False, None]
    assert cast(to_flag, True) == [True]
    assert cast(to_flag, 1.0) is None


def test_categories_are_read_from_lists_and_separated_text() -> None:
    assert cast(to_texts, "Drama|War | ", "", None) == [["Drama", "War"], None, None]
    assert cast(to_texts, ["Drama", None], []) == [["Drama"], None]
    assert cast(to_texts, [1, 2]) == [["1", "2"]]
    assert cast(to_texts, [1.5]) is None
    assert cast(to_texts, 1) is None


def test_vectors_are_read_from_lists_and_text_and_need_every_number() -> None:
    assert cast(to_vector, "[1, 2.5]", "[]", "[1, x]", None) == [[1.0, 2.5], None, None, None]
    assert cast(to_vector, [1, 2], [3, None]) == [[1.0, 2.0], None]
    assert cast(to_vector, [0.5, float("nan")]) == [None]
    assert cast(to_vector, [0.5, 1], dtype=pl.Array(pl.Float32, 2)) == [[0.5, 1.0]]
    assert cast(to_vector, ["0.5"]) is None
    assert cast(to_vector, 3) is None
