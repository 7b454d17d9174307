"""Instants: one rule for files and HTTP (`pipeline.ingestion.instant_casts` applies it to whole columns).

Accepted are ISO 8601 (UTC where no zone is given) and its compact forms (`20170301`, `20170301T120000Z`,
`20170301120000`). So is Unix time as a number or text, also in scientific notation. Anything else is refused, in
particular small numbers that could only be seconds of 1970.
"""

import re
from datetime import UTC, datetime, timedelta

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""An event before this is refused."""
CLOCK_SKEW = timedelta(days=1)
"""How far a sender's clock may run ahead before an event counts as in the future."""

_ZONE = r"\s*(?:[Zz]|UTC|(?P<sign>[+-])(?P<zone_hours>[01]\d|2[0-3]):?(?P<zone_minutes>[0-5]\d)?)?"
_SECOND = r"(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d{1,9}))?"
_HOUR, _MINUTE = r"(?P<hour>[01]\d|2[0-3])", r"(?P<minute>[0-5]\d)"
ISO_8601 = (
    rf"^\s*(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}})(?:[Tt ]{_HOUR}:{_MINUTE}(?::{_SECOND})?{_ZONE})?\s*$"
)
COMPACT = (
    rf"^\s*(?P<year>19\d{{2}}|20\d{{2}})(?P<month>\d{{2}})(?P<day>\d{{2}})"
    rf"(?:[Tt ]?{_HOUR}{_MINUTE}(?:{_SECOND})?{_ZONE})?\s*$"
)
NUMBER = r"^\s*[+-]?\d+(?:\.\d*)?(?:[Ee][+-]?\d{1,3})?\s*$"
EPOCH_UNITS = ((1e8, None), (1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3))
"""Unix time of a size below the first number, times the second, gives microseconds; `None` is refused.

The limits are the same in every unit: seconds reach to the year 5138, the other units begin in 1973. A number below
10^8 would be a second of 1970 to 1973, and is more likely a date or a counter."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_instant(value: object) -> datetime | None:
    """The instant in UTC that `value` represents; `None` where it represents none."""
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, float):
        value = str(int(value)) if value.is_integer() and abs(value) < EPOCH_UNITS[-1][0] else repr(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    written = re.match(ISO_8601, text, re.ASCII) or re.match(COMPACT, text, re.ASCII)
    if written:
        return _from_parts(written.groupdict())
    return _from_unix_time(float(text)) if re.match(NUMBER, text, re.ASCII) else None


def _from_parts(part: dict[str, str | None]) -> datetime | None:
    numbers = [int(part[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
    micros = int((part["fraction"] or "").ljust(6, "0")[:6])
    east = timedelta(hours=int(part["zone_hours"] or 0), minutes=int(part["zone_minutes"] or 0))
    try:
        local = datetime(*numbers, micros, tzinfo=UTC)  # type: ignore[arg-type,misc]  # six integers, then microseconds
        return local + east if part["sign"] == "-" else local - east
    except (ValueError, OverflowError):
        return None


def _from_unix_time(number: float) -> datetime | None:
    factor = next((factor for below, factor in EPOCH_UNITS if abs(number) < below), None)
    if factor is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=round(number * factor))
    except OverflowError:
        return None


def _in_utc(value: datetime) -> datetime | None:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return None
