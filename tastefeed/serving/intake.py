"""Posted events, row by row: what is right is stored, what is wrong comes back with its place and a reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tastefeed.contracts import Action, Flag, Reason, SubjectType
from tastefeed.contracts import columns as c
from tastefeed.serving.opt_outs import OptOutStore
from tastefeed.serving.pending_events import PendingEvents
from tastefeed.serving.stores import as_utc

CLOCK_SKEW = timedelta(minutes=5)
"""How far a client's clock may run ahead of ours."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
ERASED = "erased"


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=512)]
"""Ids are strings; integers are read as strings."""


class Event(BaseModel):
    """One row of the events table."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: Id | None = Field(None, description="unique; derived from the content where absent")
    user_id: Id = Field(description="who")
    item_id: Id = Field(description="what; an item newer than the release is welcome")
    action: Action = Field(description="impression, click, save or hide")
    timestamp: datetime = Field(description="when; without a zone it is UTC")
    session_id: Id | None = Field(None, description="the client's own session")
    request_id: Id | None = Field(None, description="the feed that showed the item: its `X-Request-Id`")
    position: int | None = Field(None, ge=0, lt=2**31, description="0-based place in that feed")
    propensity: float | None = Field(None, gt=0, le=1, description="probability of having been shown there")


@dataclass(frozen=True)
class RowError:
    """A row that was not stored."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Receipt:
    """What became of a batch. `accepted` rows are durable; `duplicates` of them were stored before."""

    accepted: int
    duplicates: int
    errors: list[RowError]
    warnings: list[str]


def take_in(rows: Sequence[Any], pending: PendingEvents, opt_outs: OptOutStore) -> Receipt:
    """Check and store a batch. Raises `EventStoreUnavailable` and `OptOutStoreUnavailable`, with nothing stored."""
    erased = opt_outs.subjects(SubjectType.USER, [Flag.ERASURE])
    read = [_read(index, row, erased) for index, row in enumerate(rows)]
    good = [row for row in read if isinstance(row, Event)]
    added = pending.add([{**event.model_dump(), c.TIMESTAMP: as_utc(event.timestamp)} for event in good])
    read = [_unless_erased(index, row, added.erased) for index, row in enumerate(read)]
    errors = [row for row in read if isinstance(row, RowError)]
    accepted = len(read) - len(errors)
    return Receipt(accepted, accepted - added.new, errors, _warnings(rows))


def _unless_erased(index: int, row: Event | RowError, erased: frozenset[str]) -> Event | RowError:
    """The store's own word on users who were erased while their events were on the way."""
    if isinstance(row, RowError) or row.user_id not in erased:
        return row
    return RowError(index, ERASED, "user_id: asked for erasure; nothing of this user is stored")


def _read(index: int, row: Any, erased: frozenset[str]) -> Event | RowError:
    try:
        event = Event.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        return RowError(index, _REASONS.get(field, "bad_row"), f"{field or 'row'}: {first['msg']}")
    at = as_utc(event.timestamp)
    if at < EARLIEST:
        return RowError(index, Reason.BEFORE_1990, "timestamp: is before 1990; send when it happened")
    if at > datetime.now(UTC) + CLOCK_SKEW:
        return RowError(index, Reason.IN_THE_FUTURE, "timestamp: is in the future; send when it happened, in UTC")
    return _unless_erased(index, event, erased)


_REASONS = {
    c.EVENT_ID: Reason.NULL_ID,
    c.USER_ID: Reason.NULL_ID,
    c.ITEM_ID: Reason.NULL_ID,
    c.ACTION: Reason.UNKNOWN_ACTION,
    c.TIMESTAMP: Reason.BAD_TIMESTAMP,
}


def _warnings(rows: Iterable[Any]) -> list[str]:
    unknown = {str(name) for row in rows if isinstance(row, dict) for name in row} - set(Event.model_fields)
    return [f"unknown columns were kept out: {', '.join(sorted(unknown)[:10])}"] if unknown else []
