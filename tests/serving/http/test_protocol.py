"""Requests without measure, over raw sockets, to a server of its own."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

import httpx2 as httpx
import psutil
import pytest

from tests.serving.conftest import Lake
from tests.serving.http.test_server import served
from tests.serving.tiny import publish_tiny

HEAD_S, BODY_S = 1.0, 2.0
LIMITS = {"TASTEFEED_HEAD_TIMEOUT_S": str(HEAD_S), "TASTEFEED_BODY_TIMEOUT_S": str(BODY_S)}
KEYS = {"TASTEFEED_FEED_KEYS": "f1", "TASTEFEED_ADMIN_KEYS": "a1", "TASTEFEED_RATE_LIMIT": "1000000/day"}
MIB = 2**20
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    folder = tmp_path_factory.mktemp("limits")
    publish_tiny(folder / "lake" / "releases", folder / "builds")
    return Lake(folder / "lake", folder / "builds")


@pytest.fixture(scope="module")
def log(lake):
    return lake.builds / "server.log"


@pytest.fixture(scope="module")
def address(lake, log) -> Iterator[tuple[str, int]]:
    with served(lake, log, workers=1, **LIMITS, **KEYS) as url:
        yield "127.0.0.1", int(url.rsplit(":", 1)[1])


def test_a_single_worker_counts_requests_in_the_same_storage_as_several(address):
    files = [file.path for process in psutil.Process().children() for file in process.open_files()]
    assert any(path.endswith("/rate_counts") for path in files)


def head(method: str, path: str, *lines: str, key: str | None = "f1") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *lines)
    return "\r\n".join([*lines, *([f"Authorization: Bearer {key}"] if key else []), "", ""]).encode()


def chunked(path: str = "/v1/events", key: str | None = "f1", method: str = "POST") -> bytes:
    return head(method, path, "Content-Type: application/json", "Transfer-Encoding: chunked", key=key)


@contextmanager
def connected(address) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=20) as connection:
        yield connection


def answer(connection: socket.socket) -> tuple[int, dict]:
    """Status and problem of all that the server sends until it closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while some := connection.recv(65536):
            received += some
    top, _, body = received.partition(b"\r\n\r\n")
    lines = top.decode().lower().split("\r\n")
    assert "content-type: application/problem+json" in lines, received
    return int(lines[0].split()[1]), json.loads(body)


def pour(connection: socket.socket, chunks, most: int) -> int:
    """Send in a thread of its own until the server has had enough; how many bytes went out."""
    sent = 0
    with suppress(OSError):
        for chunk in chunks:
            connection.sendall(chunk)
            sent += len(chunk)
            if sent > most:
                break
    return sent


def server_of(address) -> psutil.Process:
    return next(c for c in psutil.Process().children(recursive=True) if str(address[1]) in " ".join(c.cmdline()))


@pytest.mark.parametrize(("path", "key", "status"), [
    ("/v1/events", None, 401), ("/v1/events", "nope", 401), ("/v1/events", "f1", 413),
    ("/v1/users/user-1/home-feed", "f1", 405), ("/personalization", "f1", 403), ("/personalization", "a1", 413),
    ("/nothing", None, 404),
])  # fmt: skip
def test_a_body_without_end(address, path, key, status):
    process = server_of(address)
    before = process.memory_info().rss
    with connected(address) as connection:
        connection.sendall(chunked(path, key))
        poured = []
        thread = threading.Thread(target=lambda: poured.append(pour(connection, repeat(CHUNK), 2000 * MIB)))
        thread.start()
        started = time.perf_counter()
        assert answer(connection)[0] == status
        assert time.perf_counter() - started < 8
        connection.close()
        thread.join(20)
    assert not thread.is_alive()
    assert process.memory_info().rss - before < 40 * MIB
    assert httpx.get(f"http://127.0.0.1:{address[1]}/healthz").status_code == 200


@pytest.mark.parametrize("key", [None, "nope"])
def test_no_byte_of_a_body_is_awaited_before_the_key(address, key):
    with connected(address) as connection:
        connection.sendall(chunked(key=key))
        started = time.perf_counter()
        assert answer(connection)[0] == 401
        assert time.perf_counter() - started < BODY_S + 2.5


def test_a_length_that_is_too_much_is_refused_unread(address):
    with connected(address) as connection:
        connection.sendall(head("POST", "/v1/events", "Content-Type: application/json", f"Content-Length: {5 * MIB}"))
        status, problem = answer(connection)
    assert status == 413
    assert problem["detail"] == "a body may have 4,194,304 bytes (TASTEFEED_MAX_BODY_BYTES); send smaller batches"


def test_a_client_that_sends_on_still_reads_the_answer(address):
    """A whole large body goes out before the client reads: a reset would lose the answer."""
    url = f"http://127.0.0.1:{address[1]}/v1/events"
    for key, status in (("f1", 413), ("nope", 401)):
        answered = httpx.post(url, content=b"x" * (8 * MIB), headers={"Authorization": f"Bearer {key}"})
        assert answered.status_code == status


@pytest.mark.parametrize("key", ["f1", None])
def test_a_head_of_8000_headers_is_refused_in_little_time(address, key):
    request = head("GET", "/v1/users/user-1/home-feed", *[f"X-{number}: 1" for number in range(8000)], key=key)
    seconds = []
    for _ in range(3):  # a busy machine can hold up any one
        with connected(address) as connection:
            started = time.perf_counter()
            connection.sendall(request)
            status, problem = answer(connection)
            seconds.append(time.perf_counter() - started)
        assert status == 431
        assert problem["detail"].startswith(
            ("send at most 100 headers of 32,768 bytes", "address and headers may have")
        )
    assert min(seconds) < 0.5


@pytest.mark.parametrize(("lines", "status"), [(97, 200), (98, 431)])  # beside Host, Authorization and Connection
def test_100_headers_are_enough(address, lines, status):
    with connected(address) as connection:
        connection.sendall(
            head("GET", "/v1/users/u/home-feed", *[f"X-{n}: 1" for n in range(lines)], "Connection: close")
        )
        assert connection.recv(12) == f"HTTP/1.1 {status}".encode()


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\nX", b"\r\n", b""])
def test_a_head_without_end(address, start):
    process = server_of(address)
    before = process.memory_info().rss
    with connected(address) as connection:
        connection.sendall(start)
        filler = b"\r\n" * 2048 if start == b"\r\n" else b"x" * 4096
        thread = threading.Thread(target=pour, args=(connection, repeat(filler), 500 * MIB))
        thread.start()
        assert answer(connection)[0] in {431, 400}
        thread.join(20)
    assert process.memory_info().rss - before < 20 * MIB


@pytest.mark.parametrize("half", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"GET /hea", b"\r\n", b"G"])
def test_half_a_head(address, half):
    with connected(address) as connection:
        started = time.perf_counter()
        connection.sendall(half)
        status, problem = answer(connection)
        seconds = time.perf_counter() - started
    assert (status, problem["detail"]) == (408, "address and headers may take 1 seconds")
    assert HEAD_S * 0.9 < seconds < HEAD_S + 3.5


def test_a_head_that_drips(address):
    """Each byte is in time; the head is not."""
    with connected(address) as connection:
        thread = threading.Thread(target=pour, args=(connection, dripping(b"GET / HTTP/1.1\r\nX: " + b"y" * 100), 1000))
        thread.start()
        started = time.perf_counter()
        assert answer(connection)[0] == 408
        assert time.perf_counter() - started < HEAD_S + 3.5
        connection.close()
        thread.join(20)


def dripping(data: bytes, pause: float = 0.2) -> Iterator[bytes]:
    for byte in data:
        threading.Event().wait(pause)
        yield bytes([byte])


def test_a_connection_that_sends_nothing_is_closed_without_a_word(address):
    with connected(address) as connection:
        started = time.perf_counter()
        assert connection.recv(1) == b""
        assert time.perf_counter() - started < HEAD_S + 1.5


@pytest.mark.parametrize("slow", [False, True])
def test_half_a_body(address, slow):
    with connected(address) as connection:
        connection.sendall(head("POST", "/v1/events", "Content-Type: application/json", "Content-Length: 500") + b"{")
        thread = threading.Thread(target=pour, args=(connection, dripping(b" " * 100) if slow else [], 1000))
        thread.start()
        started = time.perf_counter()
        status, problem = answer(connection)
        seconds = time.perf_counter() - started
        connection.close()
        thread.join(30)
    assert (status, problem["detail"][:43]) == (408, "the body did not arrive within 2 seconds; s")
    assert BODY_S * 0.9 < seconds < BODY_S + 3.5


@pytest.mark.parametrize("line", [f"/healthz?{'q' * 17_000}", "/" + "%61" * 6000])
def test_a_long_address(address, line):
    with connected(address) as connection:
        connection.sendall(head("GET", line))
        assert answer(connection)[0] == 414


def test_many_query_parameters(address):
    url = f"http://127.0.0.1:{address[1]}/healthz?"
    assert httpx.get(url + "&".join(["a=1"] * 100)).status_code == 200
    assert httpx.get(url + "&".join(["a=1"] * 101)).status_code == 422


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"HELLO\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
                                   b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"])  # fmt: skip
def test_what_is_not_http(address, noise):
    with connected(address) as connection:
        connection.sendall(noise)
        assert answer(connection)[0] == 400


def test_a_broken_chunk(address):
    with connected(address) as connection:
        connection.sendall(chunked() + b"zz\r\n")
        assert answer(connection)[0] == 400


def test_no_web_sockets(address):
    with connected(address) as connection:
        lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
        connection.sendall(head("GET", "/nothing", *lines))
        assert connection.recv(12) == b"HTTP/1.1 404"


def test_head_sends_no_body(address):
    with connected(address) as connection:
        connection.sendall(head("HEAD", "/healthz", "Connection: close", key=None))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")


class TestKeepAlive:
    def ask(self, connection, request: bytes) -> int:
        connection.sendall(request)
        return int(self.read(connection).split()[1])

    def read(self, connection) -> bytes:
        """One answer to its end."""
        with connection.makefile("rb", buffering=0) as reader:
            line = reader.readline()
            length = 0
            while (header := reader.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            while length:
                length -= len(reader.read(length))
        return line

    def test_many_requests_over_one_connection(self, address):
        body = b'{"events": []}'
        lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        with connected(address) as connection:
            for _ in range(20):
                assert self.ask(connection, head("GET", "/v1/users/user-1/home-feed")) == 200
                assert self.ask(connection, head("POST", "/v1/events", *lines) + body) == 200
                assert self.ask(connection, head("GET", "/nothing")) == 404
                assert self.ask(connection, head("GET", "/healthz", key=None)) == 200

    def test_a_pause_longer_than_a_head_may_take(self, address):
        """The server waits five seconds for another request."""
        with connected(address) as connection:
            assert self.ask(connection, head("GET", "/healthz")) == 200
            threading.Event().wait(HEAD_S * 2)
            assert self.ask(connection, head("GET", "/healthz")) == 200

    def test_an_unread_body_that_ends(self, address):
        with connected(address) as connection:
            request = head("PUT", "/v1/opt-outs/user/u/training", "Content-Length: 4", key="a1")
            assert self.ask(connection, request) == 200
            connection.sendall(b"abcd")
            assert self.ask(connection, head("GET", "/healthz")) == 200

    def test_pipelined_requests_are_all_answered(self, address):
        with connected(address) as connection:
            connection.sendall(head("GET", "/healthz") * 3 + head("GET", "/v1/users/user-1/home-feed"))
            assert [self.read(connection)[9:12] for _ in range(4)] == [b"200"] * 4

    def test_a_large_batch_with_long_ids(self, address):
        long = "i" * 512
        rows = [
            {"user_id": long, "item_id": long, "event_id": f"{n:0512}", "session_id": long, "request_id": long,
             "action": "click", "timestamp": "2017-03-02T00:00:00Z"} for n in range(1000)
        ]  # fmt: skip
        url, headers = f"http://127.0.0.1:{address[1]}", {"Authorization": "Bearer f1"}
        receipt = httpx.post(f"{url}/v1/events", json={"events": rows}, headers=headers, timeout=60).json()
        assert receipt["accepted"] == 1000


def test_refused_requests_are_counted(address):
    def refusals() -> float:
        text = httpx.get(f"http://127.0.0.1:{address[1]}/metrics").text
        line = 'tastefeed_requests_total{method="other",route="unparsed",status="400"} '
        return sum(float(row.removeprefix(line)) for row in text.splitlines() if row.startswith(line))

    before = refusals()
    with connected(address) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        assert answer(connection)[0] == 400
    assert refusals() == before + 1


def test_nothing_of_it_is_a_traceback(address, log):
    assert "Traceback" not in log.read_text()
