from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.instants import read_instant

DAY = datetime(2017, 3, 1, tzinfo=UTC)
NOON = DAY.replace(hour=12)


@pytest.mark.parametrize(("value", "instant"), [
    ("2017-03-01", DAY), ("2017-03-01T12:00", NOON), ("2017-03-01 12:00:00", NOON), ("2017-03-01T12:00:00Z", NOON),
    ("2017-03-01T12:00:00.5Z", NOON.replace(microsecond=500_000)), ("2017-03-01T21:00:00+09:00", NOON),
    ("2017-03-01T12:00:00.123456789Z", NOON.replace(microsecond=123_456)), ("2017-03-01T00:30:00-1130", NOON),
    ("20170301", DAY), (20170301, DAY), (20170301.0, DAY), ("20170301T120000Z", NOON), ("201703011200", NOON),
    ("20170301120000", NOON), ("20170301T1200+0000", NOON),
    (1488326400, DAY), ("1488326400", DAY), (1488326400.0, DAY), ("1.4883264E9", DAY), ("1.4883264e+09", DAY),
    (1488326400_000, DAY), (1488326400_000_000, DAY), (1488326400_000_000_000, DAY), ("1488326400000000", DAY),
    (NOON, NOON), (NOON.replace(tzinfo=None), NOON), (NOON.astimezone(timezone(timedelta(hours=9))), NOON),
    (631_152_000, datetime(1990, 1, 1, tzinfo=UTC)), ("-1000000000", datetime(1938, 4, 24, 22, 13, 20, tzinfo=UTC)),
])  # fmt: skip
def test_what_an_instant_is_read_as(value, instant):
    assert read_instant(value) == instant


@pytest.mark.parametrize("value", [
    None, "", " ", "yesterday", True, [], float("nan"), float("inf"), "nan", "1e400", 10**25,
    "2017-02-30", "20170230", "2017-03-01T24:00:00", "2017-03-01T12:60:00", "2017-13-01", "01/03/2017", "2017",
    "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+01:00", "2017-03-01T12:00:00+25:00", "٢٠١٧-٠٣-٠١",
    0, 1, "0", 42795, "42795.5", 99_999_999, 20171301, "1.7e3",
])  # fmt: skip
def test_what_is_no_instant(value):
    assert read_instant(value) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_texts_are_read_back(instant):
    assert read_instant(instant.isoformat()) == instant
    assert read_instant(instant.isoformat().replace("T", " ").replace("+00:00", "Z")) == instant


@given(st.integers() | st.floats())
def test_no_number_is_read_as_the_first_seconds_of_unix_time(number):
    instant = read_instant(number)
    assert instant is None or abs(instant - datetime(1970, 1, 1, tzinfo=UTC)) >= timedelta(days=1000)
