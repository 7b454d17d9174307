"""Each call of the API as data, so that the synchronous and the asynchronous client send the same requests."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx2 as httpx
from pydantic import BaseModel, ValidationError

from tastefeed_client.client_errors import NOT_THE_API, REDIRECT, NoAnswer, RequestRefused, problem_of
from tastefeed_client.response_models import CurrentRelease, Event, Feed, FeedBatch, OptOut, Receipt
from tastefeed_client.retry_policy import is_lost_connection

Model = TypeVar("Model", bound=BaseModel)
Row = TypeVar("Row")
MAX_USERS, MAX_ITEMS, MAX_EVENTS = 500, 25_000, 1000
"""Limits of one request for many feeds, and of one batch of events."""


@dataclass(frozen=True)
class FeedOptions:
    """How a feed is requested. `languages` limits the non-profiled list, as in `pt, en;q=0.5`; `gpc` sends
    Global Privacy Control, so that no profile is read."""

    limit: int = 50
    languages: str | None = None
    gpc: bool = False

    def headers(self) -> dict[str, str]:
        """The headers of these options."""
        headers = {"Accept-Language": self.languages} if self.languages else {}
        return {**headers, "Sec-GPC": "1"} if self.gpc else headers

    def parameters(self) -> dict[str, Any]:
        """The parameters of these options."""
        return {"limit": self.limit, **({"language": "auto"} if self.languages else {})}


@dataclass(frozen=True)
class Call(Generic[Model]):
    """One request. `name` stands for it in errors: the path contains ids."""

    name: str
    method: str
    path: str
    answer: type[Model]
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    def read(self, response: httpx.Response) -> Model:
        """The typed answer. Raises `RequestRefused`, also for an answer of another program, such as a proxy."""
        if not response.is_success:
            problem = REDIRECT if response.is_redirect else problem_of(response.content)
        else:
            try:
                return self.answer.model_validate_json(response.content)
            except ValidationError:  # it quotes the answer, so it may not become the cause of the error
                problem = NOT_THE_API
        raise RequestRefused(self.name, response.status_code, problem, response.headers.get("X-Request-Id", ""))

    def no_answer(self, error: Exception, attempts: int) -> NoAnswer:
        """The error of a call whose request or answer failed; only lost connections are tried again."""
        if isinstance(error, httpx.LocalProtocolError | UnicodeEncodeError):  # it quotes headers, so perhaps a key
            return NoAnswer(f"{self.name}: not sent: no valid HTTP; check `languages`, and the headers of `http`")
        after = f" after {attempts} attempts" if is_lost_connection(error) else ""
        return NoAnswer(f"{self.name}: no answer{after}: {error}")


def authorization(key: str | None) -> dict[str, str]:
    """The header with a key. Raises `ValueError`, without the key, where no header can hold it."""
    trimmed = (key or "").strip()
    if not (trimmed.isascii() and trimmed.isprintable()) or " " in trimmed:
        raise ValueError("the key has characters other than visible ASCII; give one key, as in the server's list")
    return {"Authorization": f"Bearer {trimmed}"} if trimmed else {}


def home_feed(user_id: str, options: FeedOptions, cursor: str | None) -> Call[Feed]:
    """One page of a feed."""
    query = {**options.parameters(), **({"cursor": cursor} if cursor else {})}
    path = f"/v1/users/{_segment(user_id)}/home-feed"
    return Call("home_feed", "GET", path, Feed, query, options.headers())


def home_feeds(user_ids: Sequence[str], options: FeedOptions) -> Call[FeedBatch]:
    """The first pages of some users."""
    body = {"user_ids": list(user_ids), **options.parameters()}
    return Call("home_feeds", "POST", "/v1/home-feeds", FeedBatch, headers=options.headers(), body=body)


def post_events(events: Sequence[Event]) -> Call[Receipt]:
    """One batch of events."""
    rows = [event.model_dump(mode="json", exclude_none=True) for event in events]
    return Call("post_events", "POST", "/v1/events", Receipt, body={"events": rows})


def opt_out(method: str, subject_type: str, subject_id: str, flag: str) -> Call[OptOut]:
    """Read (GET), set (PUT) or withdraw (DELETE) one flag."""
    path = "/".join(("/v1/opt-outs", *map(_segment, (subject_type, subject_id, flag))))
    return Call("opt_out", method, path, OptOut)


CURRENT_RELEASE = Call("current_release", "GET", "/v1/releases/current", CurrentRelease)


def user_batches(user_ids: Iterable[str], limit: int) -> Iterator[list[str]]:
    """Users of one request each."""
    return _batches(user_ids, max(1, min(MAX_USERS, MAX_ITEMS // max(1, limit))))


def event_batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Events of one request each."""
    return _batches(events, MAX_EVENTS)


def joined(receipts: Sequence[Receipt]) -> Receipt:
    """The receipt of all batches. `index` counts over all events."""
    errors = [
        error.model_copy(update={"index": error.index + MAX_EVENTS * number})
        for number, receipt in enumerate(receipts)
        for error in receipt.errors
    ]
    return Receipt(
        accepted=sum(receipt.accepted for receipt in receipts),
        duplicates=sum(receipt.duplicates for receipt in receipts),
        errors=errors,
        warnings=[text for receipt in receipts for text in receipt.warnings],
    )


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


def _segment(text: str) -> str:
    """Text as one part of a path. Clients resolve the ids `.` and `..` unless their dots are encoded."""
    return quote(text, safe="").replace(".", "%2E")
