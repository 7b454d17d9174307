"""What the server returns, and the event that a client posts. Fields that a newer server adds are ignored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Action = Literal["impression", "click", "save", "hide", "unhide"]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Explanation(Answer):
    """Why an item is shown. Where it rests on one item of the user's history, `item_id` names that item."""

    kind: str
    text: str
    item_id: str | None = None
    title: str | None = None
    action: str | None = None
    similarity: float | None = None


class FeedItem(Answer):
    """One item of a feed. Feeds of many users have no explanations."""

    item_id: str
    rank: int
    score: float
    source: str
    explanation: Explanation | None = None
    title: str | None = None
    creator_id: str | None = None
    url: str | None = None
    image_url: str | None = None
    propensity: float | None = None


class Feed(Answer):
    """One page. `reason` is why it is not personalized; `cursor` continues it, `None` on the last page."""

    user_id: str | None
    request_id: str
    release: str
    personalized: bool
    reason: str | None
    items: list[FeedItem]
    cursor: str | None
    reduced_to: str | None = None


class FeedBatch(Answer):
    """The first pages of many users, in the order of the request."""

    request_id: str
    release: str
    feeds: list[Feed]


class RowError(Answer):
    """An event that was not stored."""

    index: int
    reason: str
    detail: str


class Receipt(Answer):
    """The result of posted events. `accepted` ones are durable; `duplicates` of them were stored before."""

    accepted: int
    duplicates: int
    errors: list[RowError]
    warnings: list[str] = []


class OptOut(Answer):
    """One flag of one subject; `effective_at` is `None` where it was never set."""

    subject_type: str
    subject_id: str
    flag: str
    opted_out: bool
    effective_at: datetime | None


class CurrentRelease(Answer):
    """The release that is served."""

    version: str
    built_at: datetime
    as_of: datetime
    profiled: bool
    reduced_to: str | None
    unmeasured: bool
    metrics: dict[str, Any]
    substitute_for: str | None = None


class Event(BaseModel):
    """One event. Without `event_id` the server derives one from the content; either way, a repeated event counts once.

    `request_id` and `position` name the feed that showed the item, and the item's place in it, from 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: str
    item_id: str
    action: Action
    timestamp: datetime
    event_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    position: int | None = None
    propensity: float | None = None
