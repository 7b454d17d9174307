"""Requests against a real server: no 5xx, every error a problem document, no event lost or stored twice."""

import json
import socket
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.stores.event_store import EventStore
from tests.fuzz.examples import many
from tests.serving.conftest import Lake
from tests.serving.http.test_server import served
from tests.strategies import as_json, ids, rows

NUMBERS = count()


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A running server, and the events that it has acknowledged."""

    port: int
    database: str
    acknowledged: set[str] = field(default_factory=set)

    def send(self, request: bytes) -> Answer | None:
        """One request over a connection of its own; `None` where the server hangs up without an answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            content = b"".join(iter(lambda: connection.recv(65536), b""))
        if not content:
            return None
        head, _, body = content.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, body)

    def ask(
        self, method: str, target: str, *, headers: list[tuple[str, bytes]] = (), body: bytes = b""
    ) -> Answer | None:
        """One well-formed request."""
        lines = [
            f"{method} {target} HTTP/1.1".encode("latin-1"),
            f"Host: 127.0.0.1:{self.port}".encode(),
            b"Connection: close",
        ]
        lines += [name.encode() + b": " + value for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}".encode())
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("fuzzed"), tmp_path_factory.mktemp("work"))
    lake.publish()
    with served(lake, lake.folder / "log.txt", workers=1) as url:
        yield Server(int(url.rsplit(":", 1)[1]), f"sqlite:///{lake.folder}/pending_events.db")
    assert "Traceback" not in (lake.folder / "log.txt").read_text()


def is_sound(answer: Answer | None) -> None:
    """An answer below 500; of an error, a problem document, unless the bytes were no HTTP at all."""
    assert answer is not None
    assert answer.status < 500, answer
    if answer.status >= 400 and answer.body != b"Invalid HTTP request received.":
        assert answer.headers["content-type"] in {"application/problem+json", "text/html; charset=utf-8"}, answer


segments = st.one_of(
    ids.map(lambda id_: quote(id_, safe="")), ids.map(quote), st.binary(max_size=12).map(quote_from_bytes)
)
flags = st.sampled_from(["personalization", "training", "erasure", "recommendation", "nothing", ""])
subjects = st.sampled_from(["user", "item", "creator", "ship"])
targets = st.one_of(
    segments.map("/v1/users/{}/home-feed".format),
    st.builds("/v1/opt-outs/{}/fuzz-{}/{}".format, subjects, segments, flags),
    segments.map("/?user_id={}".format),
    segments.map("/{}".format),
    st.sampled_from(
        [
            "/healthz",
            "/readyz",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/v1/releases/current",
            "/v1/events",
            "/v1/home-feeds",
        ]
    ),
)
values = st.one_of(st.integers(-5, 500).map(str), segments)
queries = st.lists(
    st.tuples(st.sampled_from(["limit", "cursor", "language", "user_id", "x"]), values).map("=".join), max_size=4
).map("&".join)
header_values = st.one_of(
    st.sampled_from([b"0", b"1", b"auto", b"pt_BR, en;q=0.5", b"Bearer x", b"Basic !!", b"*", b"chunked"]),
    st.binary(max_size=30).map(lambda value: value.translate(None, b"\r\n\x00")),
)
headers = st.lists(
    st.tuples(
        st.sampled_from(["Sec-GPC", "Accept-Language", "Authorization", "Origin", "Accept", "Cookie", "X-A"]),
        header_values,
    ),
    max_size=5,
)
methods = st.sampled_from(["GET", "GET", "GET", "PUT", "DELETE", "HEAD", "POST", "OPTIONS", "PATCH"])


@many
@given(method=methods, target=targets, query=queries, headers=headers, body=st.binary(max_size=50))
def test_no_request_is_a_5xx(server, method, target, query, headers, body):
    answer = server.ask(
        method, f"{target}{'&' if '?' in target else '?'}{query}" if query else target, headers=headers, body=body
    )
    is_sound(answer)


@many
@given(table=st.lists(rows, max_size=12), twice=st.booleans())
def test_no_posted_event_is_lost_or_stored_twice(server, table, twice):
    body = json.dumps({"events": as_json(table, first=10**6 * next(NUMBERS))}).encode()
    for _ in range(1 + twice):
        answer = server.ask("POST", "/v1/events", headers=[("Content-Type", b"application/json")], body=body)
        assert answer is not None
        assert answer.status == 200, answer
        receipt = json.loads(answer.body)
        refused = {error["index"] for error in receipt["errors"]}
        assert receipt["accepted"] + len(refused) == len(table)
    posted = json.loads(body)["events"]
    server.acknowledged |= {event["event_id"] for n, event in enumerate(posted) if n not in refused}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@many
@given(value=json_values | st.fixed_dictionaries({"events": json_values | st.lists(json_values, max_size=4)}))
@example(value={"events": [{"user_id": "u\ud83d"}, {"\ud83d": 1}]})
def test_no_body_is_a_5xx(server, value):
    is_sound(
        server.ask(
            "POST", "/v1/events", headers=[("Content-Type", b"application/json")], body=json.dumps(value).encode()
        )
    )


@many
@given(body=st.binary(max_size=200), length=st.none() | st.integers(0, 100))
@example(body=b"[" * 100_000, length=None)
@example(body=b'{"events": [' + b"9" * 5000 + b"]}", length=None)
def test_no_broken_body_is_a_5xx(server, body, length):
    length = len(body) if length is None else min(length, len(body))
    is_sound(server.ask("POST", "/v1/events", headers=[("Content-Type", b"application/json")], body=body[:length]))


def test_every_acknowledged_event_is_stored_once(server):
    """After all of them: exactly what was acknowledged."""
    stored = EventStore(server.database).rows()["event_id"].to_pylist()
    assert sorted(stored) == sorted(server.acknowledged)
