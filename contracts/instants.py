"""What an instant may look like: one rule for files and HTTP (`pipeline.ingestion.casts` has it for whole columns).

Read are ISO 8601 (without a zone: UTC), its compact forms (`20170301`, `20170301T120000Z`, `20170301120000`) and Unix
time as a number or its text, scientific notation included. Anything else is refused, above all numbers that could only
be read as some second of 1970.
"""

import re
from datetime import UTC, datetime, timedelta

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""An event before this is refused."""
CLOCK_SKEW = timedelta(days=1)
"""How far a sender's clock may run ahead before an event counts as from the future."""

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
"""Unix time below the first number, in size, times the second is microseconds; `None` is refused.

The same limits in every unit: seconds reach to the year 5138, the others begin in 1973; what is smaller than 10^8 would
be a second of 1970 to 1973, and is a date or a counter of another kind."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_instant(value: object) -> datetime | None:
    """The instant in UTC that `value` stands for; `None` where it stands for none."""
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
