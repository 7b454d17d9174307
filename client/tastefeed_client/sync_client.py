"""The synchronous client."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import httpx2 as httpx
from tenacity import Retrying

from tastefeed_client import api_calls
from tastefeed_client.api_calls import Call, FeedOptions, Model
from tastefeed_client.response_models import CurrentRelease, Event, Feed, FeedItem, OptOut, Receipt
from tastefeed_client.retry_policy import RetryPolicy

TIMEOUT_S = 5.0
DEFAULT_RETRIES = RetryPolicy()


class TastefeedClient:
    """Calls one server. Each call raises `RequestRefused` for an error, and `NoAnswer` where none came in time.

    Options of feeds are those of `FeedOptions`: `limit`, `languages` and `gpc`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = DEFAULT_RETRIES,
        http: httpx.Client | None = None,
    ) -> None:
        """A server and a key. Give `http` for certificates, proxies or limits of your own; it has its own timeout.
        Raises `ValueError` for a key that no header can hold."""
        self._base_url, self._retries = base_url.rstrip("/"), retries
        self._http = http or httpx.Client(timeout=timeout_s)
        self._headers = api_calls.authorization(key)

    def home_feed(
        self,
        user_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        languages: str | None = None,
        gpc: bool = False,
    ) -> Feed:
        """One page of a user's feed."""
        return self._answer(api_calls.home_feed(user_id, FeedOptions(limit, languages, gpc), cursor))

    def pages(
        self, user_id: str, *, limit: int = 50, languages: str | None = None, gpc: bool = False
    ) -> Iterator[Feed]:
        """Every page of a user's feed, requested as they are read."""
        options, cursor = FeedOptions(limit, languages, gpc), None
        while True:
            page = self._answer(api_calls.home_feed(user_id, options, cursor))
            yield page
            if (cursor := page.cursor) is None:
                return

    def items(
        self, user_id: str, *, limit: int = 50, languages: str | None = None, gpc: bool = False
    ) -> Iterator[FeedItem]:
        """Every item of a user's feed; `limit` is the size of a page."""
        for page in self.pages(user_id, limit=limit, languages=languages, gpc=gpc):
            yield from page.items

    def home_feeds(
        self, user_ids: Iterable[str], *, limit: int = 50, languages: str | None = None, gpc: bool = False
    ) -> Iterator[Feed]:
        """The first page of each user, in order, without explanations; as many requests as it takes."""
        options = FeedOptions(limit, languages, gpc)
        for batch in api_calls.user_batches(user_ids, limit):
            yield from self._answer(api_calls.home_feeds(batch, options)).feeds

    def post_events(self, events: Iterable[Event]) -> Receipt:
        """Store events; as many requests as it takes. `errors` of the receipt lists the events that were refused."""
        return api_calls.joined(
            [self._answer(api_calls.post_events(batch)) for batch in api_calls.event_batches(events)]
        )

    def opt_out(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Opt out, from the next request on."""
        return self._answer(api_calls.opt_out("PUT", subject_type, subject_id, flag))

    def opt_in(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """Withdraw an opt-out, from the next request on."""
        return self._answer(api_calls.opt_out("DELETE", subject_type, subject_id, flag))

    def opt_out_state(self, subject_type: str, subject_id: str, flag: str) -> OptOut:
        """The state of a flag."""
        return self._answer(api_calls.opt_out("GET", subject_type, subject_id, flag))

    def current_release(self) -> CurrentRelease:
        """The release that is served."""
        return self._answer(api_calls.CURRENT_RELEASE)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def _answer(self, call: Call[Model]) -> Model:
        try:
            return call.read(Retrying(**self._retries.tenacity())(self._send, call))
        except (httpx.RequestError, httpx.InvalidURL, UnicodeEncodeError) as error:
            raise call.no_answer(error, self._retries.attempts) from None

    def _send(self, call: Call[Model]) -> httpx.Response:
        headers = {**self._headers, **call.headers}
        return self._http.request(
            call.method, self._base_url + call.path, params=call.query, headers=headers, json=call.body
        )
