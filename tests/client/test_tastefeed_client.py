"""The client against the real application, and against a server that fails first."""

import asyncio
import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.http.routes import openapi_examples
from tastefeed_client import (
    AsyncTastefeedClient,
    CurrentRelease,
    Event,
    Feed,
    FeedBatch,
    NoAnswer,
    OptOut,
    Receipt,
    RequestRefused,
    RetryPolicy,
    TastefeedClient,
    response_models,
)
from tests.serving.conftest import Lake, lake, published  # noqa: F401  fixtures

URL = "http://testserver"
AT = datetime(2017, 3, 2, tzinfo=UTC)
FAST = RetryPolicy(attempts=3, backoff_s=0.001)


@pytest.fixture
def app(lake: Lake):  # noqa: F811
    app = create_app(lake.settings(feed_keys="f2", admin_keys="a1"))
    with TestClient(app):  # loads the release
        yield app


@pytest.fixture
def client(app):
    return TastefeedClient(URL, key="a1", http=TestClient(app))


class TestCalls:
    def test_pages_and_items_are_iterators_over_the_whole_feed(self, client):
        pages = list(client.pages("user-1", limit=15))
        items = list(client.items("user-1", limit=15))
        assert [item.rank for page in pages for item in page.items] == list(range(1, len(items) + 1))
        assert [item.item_id for page in pages for item in page.items] == [item.item_id for item in items]
        assert len(pages) > 1
        assert pages[-1].cursor is None
        assert pages[0] == client.home_feed("user-1", limit=15).model_copy(
            update={"request_id": pages[0].request_id, "cursor": pages[0].cursor}
        )
        assert pages[0].items[0].explanation.text

    def test_feeds_of_many_users_are_split_into_requests(self, client):
        users = [f"user-{number % 7}" for number in range(501)]
        feeds = list(client.home_feeds(users, limit=1))
        assert [feed.user_id for feed in feeds] == users
        assert {feed.reason for feed in feeds} == {None, "unknown_user"}

    def test_an_opted_out_user_has_the_non_profiled_feed(self, client):
        before = client.opt_out_state("user", "acct/42", "personalization")
        assert (before.opted_out, before.effective_at) == (False, None)
        assert client.opt_out("user", "user-1", "personalization").opted_out
        assert client.home_feed("user-1").reason == "opted_out"
        assert [feed.reason for feed in client.home_feeds(["user-1"])] == ["opted_out"]
        assert not client.opt_in("user", "user-1", "personalization").opted_out
        assert client.home_feed("user-1").personalized
        assert client.home_feed("user-1", gpc=True).reason == "global_privacy_control"
        assert all(int(item.item_id[1:]) % 2 for item in client.items("stranger", languages="pt"))  # odd ones are

    def test_events_are_split_and_repeated_ones_count_once(self, client):
        first = client.home_feed("user-1").items[0].item_id
        rows = [Event(user_id="user-1", item_id=first, action="click", timestamp=AT)]
        rows += [Event(user_id=f"u{number}", item_id="i1", action="save", timestamp=AT) for number in range(1000)]
        rows.append(Event(user_id="", item_id="i1", action="save", timestamp=AT))
        receipt = client.post_events(rows)
        assert (receipt.accepted, receipt.duplicates) == (1001, 0)
        assert [(error.index, error.reason) for error in receipt.errors] == [(1001, "null_id")]
        assert client.post_events(rows[:1]).duplicates == 1
        assert first not in {item.item_id for item in client.items("user-1")}

    def test_any_id_is_one_part_of_the_path(self, client):
        for id_ in ("acct/42", "..", "https://example.org/a?b=1#c", "100%", "Zürich/東京"):
            assert client.home_feed(id_, limit=1).user_id == id_

    def test_the_current_release(self, client):
        release = client.current_release()
        assert (release.version, release.metrics) == (client.home_feed("user-1").release, {"ndcg_at_20": 0.4})


class TestErrors:
    def test_a_refusal_has_status_reason_and_request_but_no_id(self, app):
        with pytest.raises(RequestRefused, match=r"^home_feed: 401 Unauthorized: send a valid key") as refused:
            TastefeedClient(URL, key="nope", http=TestClient(app)).home_feed("user-1")
        assert (refused.value.status, refused.value.kind) == (401, "not-authenticated")
        assert len(refused.value.request_id) == 32
        assert "user-1" not in str(refused.value)

    def test_a_role_or_a_value_that_is_refused(self, app, client):
        with pytest.raises(RequestRefused, match="403 Forbidden: this takes an admin key"):
            TastefeedClient(URL, key="f2", http=TestClient(app)).opt_out("user", "u", "training")
        with pytest.raises(RequestRefused) as refused:
            client.home_feed("u", limit=0)
        assert refused.value.errors[0]["where"] == "query.limit"

    def test_a_rate_limit_is_waited_for(self, lake):  # noqa: F811
        app = create_app(lake.settings(feed_keys="f2", rate_limit="1/second"))
        with TestClient(app) as http:
            client = TastefeedClient(URL, key="f2", http=http)
            assert {client.current_release().version for _ in range(2)} == {client.current_release().version}
            hasty = TastefeedClient(URL, key="f2", http=http, retries=RetryPolicy(attempts=1))
            with pytest.raises(RequestRefused, match="429 Too Many Requests"):
                [hasty.current_release() for _ in range(2)]


class TestRetries:
    """Against a server whose first answers are given."""

    def test_a_failing_server_is_asked_again(self):
        with answering(503, None, 200) as (url, asked), TastefeedClient(url, retries=FAST) as client:
            assert client.current_release().version == openapi_examples.RELEASE["version"]
        assert len(asked) == 3

    def test_not_for_ever(self):
        with answering(*[503] * 9) as (url, asked), TastefeedClient(url, retries=FAST) as client:
            with pytest.raises(RequestRefused, match="current_release: 503"):
                client.current_release()
            assert len(asked) == 3
        with answering(*[None] * 9) as (url, asked), TastefeedClient(url, retries=FAST) as client:
            with pytest.raises(NoAnswer, match="current_release: no answer after 3 attempts"):
                client.current_release()
            assert len(asked) == 3

    @pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
    def test_what_would_fail_again_is_not_repeated(self, status):
        with answering(status, 200) as (url, asked), TastefeedClient(url, retries=FAST) as client:
            with pytest.raises(RequestRefused):
                client.current_release()
            assert len(asked) == 1

    def test_a_wait_above_the_limit_is_not_waited_for(self):
        with (
            answering(429, 200, headers={"Retry-After": "3600"}) as (url, asked),
            TastefeedClient(url, retries=FAST) as client,
        ):
            with pytest.raises(RequestRefused, match="429"):
                client.current_release()
            assert len(asked) == 1

    def test_a_server_that_is_silent_is_no_answer(self):
        with answering(0) as (url, _):
            impatient = RetryPolicy(attempts=1)
            with TastefeedClient(url, timeout_s=0.2, retries=impatient) as client, pytest.raises(NoAnswer):
                client.current_release()


NOT_OURS = {
    "a redirect": (302, b"<a href='/users/user-1'>", r"home_feed: 302 Redirect: .* as base_url$"),
    "a page": (200, b"<html>sign in, user-1</html>", r"home_feed: 200 Unexpected Answer: it is not of this API"),
    "another API": (200, b'{"user_id": "user-1"}', r"home_feed: 200 Unexpected Answer: it is not of this API"),
}


class TestOtherServers:
    """A proxy or another program answers; no error quotes what it sent."""

    @pytest.mark.parametrize(("status", "page", "message"), NOT_OURS.values(), ids=NOT_OURS)
    def test_an_answer_that_is_not_of_the_api_is_refused(self, status, page, message):
        async def concurrently(url: str) -> None:
            async with AsyncTastefeedClient(url) as client:
                await client.home_feed("user-1")

        headers = {"Location": "/users/user-1"}
        with answering(status, status, headers=headers, page=page) as (url, asked), TastefeedClient(url) as client:
            for call in (lambda: client.home_feed("user-1"), lambda: asyncio.run(concurrently(url))):
                with pytest.raises(RequestRefused, match=message) as refused:
                    call()
                assert (refused.value.status, refused.value.__context__) == (status, None)
                assert "user-1" not in str(refused.value)
        assert len(asked) == 2

    def test_a_broken_answer_and_an_invalid_address_are_no_answer(self):
        gzip = {"Content-Encoding": "gzip"}  # the content is not
        with (
            answering(200, headers=gzip) as (url, _),
            TastefeedClient(url) as client,
            pytest.raises(NoAnswer, match="current_release: no answer: "),
        ):
            client.current_release()
        with TastefeedClient("http://localhost:port") as client, pytest.raises(NoAnswer, match="Invalid port"):
            client.current_release()


class TestKeys:
    @pytest.mark.parametrize("make", [TastefeedClient, AsyncTastefeedClient])
    def test_a_key_is_trimmed_and_a_bad_one_is_not_quoted(self, make):
        assert make(URL, key="secret-key\n")._headers == {"Authorization": "Bearer secret-key"}
        for bad in ("secret\nkey", "secret key", "secret-kéy", "secret\x00key"):
            with pytest.raises(ValueError, match=r"^the key has characters other than visible ASCII") as refused:
                make(URL, key=bad)
            assert "secret" not in str(refused.value)

    def test_a_header_that_cannot_be_sent_is_neither_quoted_nor_repeated(self):
        sent: list[str] = []
        hooks = {"request": [lambda request: sent.append(request.url.path)]}
        http = httpx.Client(headers={"X-Secret": "secret\n"}, event_hooks=hooks)
        with answering(200, 200) as (url, asked), TastefeedClient(url, http=http, retries=FAST) as client:
            with pytest.raises(NoAnswer, match=r"^current_release: not sent: no valid HTTP") as refused:
                client.current_release()
            assert (sent, asked) == (["/v1/releases/current"], [])
        assert "secret" not in str(refused.value)

    def test_languages_that_no_header_can_hold_are_not_sent(self):
        refusal = pytest.raises(NoAnswer, match=r"^home_feed: not sent: no valid HTTP; check `languages`")
        with answering() as (url, asked), TastefeedClient(url) as client, refusal:
            client.home_feed("user-1", languages="dé")
        with refusal:
            asyncio.run(AsyncTastefeedClient(url).home_feed("user-1", languages="dé"))
        assert not asked

    def test_an_address_of_another_scheme_is_not_tried_again(self):
        with TastefeedClient("feed.example") as client, pytest.raises(NoAnswer, match="no answer: Request"):
            client.current_release()


class TestAsync:
    def test_it_has_the_same_calls(self):
        def calls(client) -> dict[str, list[str]]:
            methods = inspect.getmembers(client, inspect.isfunction)
            return {name: list(inspect.signature(at).parameters) for name, at in methods if not name.startswith("_")}

        assert calls(AsyncTastefeedClient) == calls(TastefeedClient)

    def test_every_call_answers_as_the_other_client(self, app, client):
        async def run() -> None:
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
            async with AsyncTastefeedClient(URL, key="a1", http=http) as concurrent:
                items = [item async for item in concurrent.items("user-1", limit=15)]
                assert items == list(client.items("user-1", limit=15))
                users = ["user-1", "user-2"]
                assert [feed.user_id async for feed in concurrent.home_feeds(users)] == users
                rows = [Event(user_id="u", item_id="i1", action="click", timestamp=AT)]
                assert (await concurrent.post_events(rows)).accepted == 1
                assert (await concurrent.opt_out("user", "user-1", "training")).opted_out
                assert (await concurrent.opt_out_state("user", "user-1", "training")).opted_out
                assert not (await concurrent.opt_in("user", "user-1", "training")).opted_out
                assert await concurrent.current_release() == client.current_release()
                with pytest.raises(RequestRefused, match="422"):
                    await concurrent.home_feed("user-1", limit=0)

        asyncio.run(run())

    def test_it_asks_again_too(self):
        async def run(url: str) -> str:
            async with AsyncTastefeedClient(url, retries=FAST) as client:
                return (await client.current_release()).version

        with answering(503, None, 200) as (url, asked):
            assert asyncio.run(run(url)) == openapi_examples.RELEASE["version"]
        assert len(asked) == 3


def test_models_have_no_field_that_the_openapi_document_lacks(app):
    schemas = app.openapi()["components"]["schemas"]
    models = {model.__name__: model for model in (
        Event, CurrentRelease, Feed, FeedBatch, Receipt, response_models.FeedItem, response_models.Explanation,
        response_models.RowError,
    )}  # fmt: skip
    for schema, model in {**models, "FlagState": OptOut}.items():
        assert set(model.model_fields) <= set(schemas[schema]["properties"]), schema


@contextmanager
def answering(
    *statuses: int | None, headers: dict[str, str] | None = None, page: bytes = b""
) -> Iterator[tuple[str, list[str]]]:
    """A server with these answers in turn: `None` hangs up, 0 never answers. Yields its address and the paths asked."""
    asked: list[str] = []
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status = statuses[len(asked) - 1]
            if status == 0:
                done.wait(10)
            if not status:
                return
            body = page or json.dumps(openapi_examples.RELEASE if status == 200 else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            done.set()
            server.shutdown()
            thread.join()
