"""Validation of posted events, row by row: valid rows are stored; each invalid row is reported with a reason.

A row is read as the import reads a line of a file, with the same ids, instants and limits. An optional id that is not
valid becomes null with a warning. So an event that is both posted and imported is one event.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contracts import Action, Flag, Reason, SubjectType
from contracts import columns as c
from contracts.errors import BadId
from contracts.ids import BLANKS, is_id, read_id
from contracts.instants import CLOCK_SKEW, EARLIEST, NUMBER, read_instant
from serving.privacy.opt_out_store import OptOutStore
from serving.stores.event_store import EventStore

ERASED, BAD_ROW = "erased", "bad_row"
ROW_REASONS = (
    Reason.NULL_ID,
    Reason.UNKNOWN_ACTION,
    Reason.BAD_TIMESTAMP,
    Reason.BEFORE_1990,
    Reason.IN_THE_FUTURE,
    BAD_ROW,
    ERASED,
)
"""Why a posted row is not stored."""
MAX_NAMES, MAX_NAME_LENGTH = 10, 64
"""How many unknown columns a warning names, and with how many characters of each."""
OPTIONAL_IDS = (c.EVENT_ID, c.SESSION_ID, c.REQUEST_ID)


def _id(value: object) -> str:
    try:
        return read_id(value)
    except BadId as refusal:
        raise ValueError(str(refusal)) from None


def _instant(value: object) -> datetime:
    instant = read_instant(value)
    if instant is None:
        raise ValueError("is no instant; send ISO 8601 or Unix time, in UTC")
    return instant


def _action(value: object) -> object:
    return value.strip(BLANKS) if isinstance(value, str) else value


def _number(value: object) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip(BLANKS)):
        return None
    if isinstance(value, bool) or not re.match(NUMBER, str(value), re.ASCII):
        raise ValueError("is no number")
    return float(str(value))


def _id_or_null(value: object) -> str | None:
    return read_id(value) if is_id(value) else None


Id = Annotated[str, BeforeValidator(_id)]
OptionalId = Annotated[str | None, BeforeValidator(_id_or_null)]


class Event(BaseModel):
    """One row of the events table."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: OptionalId = Field(None, description="unique; derived from the content where absent")
    user_id: Id = Field(description="who")
    item_id: Id = Field(description="what; an item newer than the release is welcome")
    action: Annotated[Action, BeforeValidator(_action)] = Field(description="what the user did")
    timestamp: Annotated[datetime, BeforeValidator(_instant)] = Field(description="when; without a zone it is UTC")
    session_id: OptionalId = Field(None, description="the client's own session")
    request_id: OptionalId = Field(None, description="the feed that showed the item: its `request_id`")
    position: Annotated[int | None, BeforeValidator(_number)] = Field(
        None, ge=0, lt=2**31, description="0-based place in that feed"
    )
    propensity: Annotated[float | None, BeforeValidator(_number)] = Field(
        None, gt=0, le=1, description="probability of having been shown there"
    )


@dataclass(frozen=True)
class RowError:
    """A row that was not stored."""

    index: int
    reason: Annotated[str, Field(json_schema_extra={"enum": [*ROW_REASONS]})]
    detail: str


@dataclass(frozen=True)
class Receipt:
    """The result of a batch. `accepted` rows are durable; `duplicates` of them were stored before."""

    accepted: int
    duplicates: int
    errors: list[RowError]
    warnings: list[str]


def store_valid_events(rows: Sequence[object], events: EventStore, opt_outs: OptOutStore) -> Receipt:
    """Validate and store a batch. Raises `EventStoreUnavailable` and `OptOutStoreUnavailable`, with nothing stored."""
    latest = datetime.now(UTC) + CLOCK_SKEW
    results = [_validated(index, row, latest) for index, row in enumerate(rows)]
    users = {row.user_id for row in results if isinstance(row, Event)}
    results = _without_erased(results, opt_outs.among(SubjectType.USER, users, [Flag.ERASURE]))
    added = events.add([row.model_dump() for row in results if isinstance(row, Event)])
    results = _without_erased(results, added.erased)  # an erasure may have arrived since the opt-outs were read
    errors = [row for row in results if isinstance(row, RowError)]
    accepted = len(results) - len(errors)
    return Receipt(accepted, accepted - added.new, errors, [*_unknown_columns(rows), *_invalid_ids(rows, results)])


def _without_erased(results: Sequence[Event | RowError], erased: Collection[str]) -> list[Event | RowError]:
    """The results, with an error for each row of an erased user."""
    return [
        RowError(index, ERASED, "user_id: asked for erasure; nothing of this user is stored")
        if isinstance(row, Event) and row.user_id in erased
        else row
        for index, row in enumerate(results)
    ]


def _validated(index: int, row: object, latest: datetime) -> Event | RowError:
    try:
        event = Event.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        why = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        return RowError(index, REASONS.get(field, BAD_ROW), f"{field or 'row'}: {why}")
    if event.timestamp < EARLIEST:
        return RowError(index, Reason.BEFORE_1990, "timestamp: is before 1990; send when it happened")
    if event.timestamp > latest:
        return RowError(index, Reason.IN_THE_FUTURE, "timestamp: is in the future; send when it happened, in UTC")
    return event


REASONS = {
    c.USER_ID: Reason.NULL_ID,
    c.ITEM_ID: Reason.NULL_ID,
    c.ACTION: Reason.UNKNOWN_ACTION,
    c.TIMESTAMP: Reason.BAD_TIMESTAMP,
}
"""The reason code of a row without a valid value in a required column."""


def _unknown_columns(rows: Sequence[object]) -> list[str]:
    unknown = {str(name) for row in rows if isinstance(row, dict) for name in row} - set(Event.model_fields)
    names = ", ".join(printable(name) for name in sorted(unknown)[:MAX_NAMES])
    return [f"unknown columns were kept out: {names}"] if unknown else []


def _invalid_ids(rows: Sequence[object], results: Sequence[Event | RowError]) -> list[str]:
    """One warning for each column in which optional ids became null."""
    invalid = Counter(
        name
        for row, event in zip(rows, results, strict=True)
        if isinstance(event, Event) and isinstance(row, dict)
        for name in OPTIONAL_IDS
        if _is_given(row.get(name)) and getattr(event, name) is None
    )
    return [f"{name}: {count:,} values are no ids and count as null" for name, count in invalid.items()]


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip(BLANKS))


def printable(name: str) -> str:
    """A client's own text for an answer: shortened, with unprintable characters escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name[:MAX_NAME_LENGTH]
    )
