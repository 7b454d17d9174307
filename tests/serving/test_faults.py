"""Faults of databases and files, with a real server: what waits, what is answered, and what recovers by itself."""

import json
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from serving.releases import publish
from serving.releases.manifest import MANIFEST
from tests.serving.http.test_server import HTTP, served, until

CALLERS = 50
WAITS_S = 3.0
"""Some waits of 250 ms. Fifty callers waited for 10 to 20 s, because each thread waited for seconds."""
ROW = {"user_id": "user-1", "item_id": "i3", "action": "save", "timestamp": "2017-03-02T00:00:00Z"}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "server.log"


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Lock an SQLite database as another program would, for readers and writers."""
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


def timed(url: str) -> tuple[float, int, dict]:
    started = time.perf_counter()
    answer = HTTP.get(url, timeout=60)
    return time.perf_counter() - started, answer.status_code, answer.json()


def reasons(url: str, bound_s: float = 60) -> tuple[Counter, float]:
    """The reasons of the feeds that many callers get at once, while health checks answer, and the longest time."""
    with ThreadPoolExecutor(CALLERS + 2) as callers:
        feeds = [callers.submit(timed, f"{url}/v1/users/user-1/home-feed?limit=5") for _ in range(CALLERS)]
        checks = [callers.submit(timed, f"{url}/{check}") for check in ("healthz", "readyz")]
        health, ready = (check.result() for check in checks)
        answers = [feed.result() for feed in feeds]
    assert health[1] == 200
    assert {status for _, status, _ in answers} == {200}
    longest_s = max(seconds for seconds, *_ in [health, ready, *answers])
    assert longest_s < bound_s
    return Counter(body["reason"] for *_, body in answers), longest_s


def test_a_locked_store_makes_no_caller_wait(lake, log):
    feed = "/v1/users/user-1/home-feed"
    with served(lake, log, workers=1) as url:
        assert HTTP.post(f"{url}/v1/events", json={"events": [ROW]}).json()["accepted"] == 1
        assert HTTP.get(f"{url}{feed}").json()["personalized"]
        unlocked, seconds = reasons(url)
        assert unlocked == {None: CALLERS}
        bound_s = WAITS_S + 2 * seconds  # the machine may be busy
        with locked(lake.folder / "opt_outs.db"):
            assert reasons(url, bound_s)[0] == {"opt_out_store_unavailable": CALLERS}
            refused = HTTP.put(f"{url}/v1/opt-outs/user/user-1/personalization")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            ready = HTTP.get(f"{url}/readyz")  # a balancer keeps the server: it answers feeds
            assert (ready.status_code, ready.json()["status"]) == (200, "not_personalized")
        assert until(lambda: HTTP.get(f"{url}{feed}").json()["personalized"])
        with locked(lake.folder / "pending_events.db"):
            assert reasons(url, bound_s)[0] == {"event_store_unavailable": CALLERS}
            refused = HTTP.post(f"{url}/v1/events", json={"events": [ROW]})
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert until(lambda: HTTP.get(f"{url}{feed}").json()["personalized"])
        assert until(lambda: HTTP.post(f"{url}/v1/events", json={"events": [ROW]}).json().get("duplicates") == 1)
    assert "Traceback" not in log.read_text()


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe2017")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def make_path(path: Path) -> None:
    path.write_text("../../etc\n")


BAD_POINTERS = [make_loop, make_fifo, make_binary, Path.mkdir, make_huge, make_path]


def remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def bomb(folder: Path, entries: int = 200_000) -> None:
    """A manifest with as many files. A million of them took the memory and the time of a worker until it was killed."""
    manifest = json.loads((folder / MANIFEST).read_text())
    one = json.dumps(next(iter(manifest["files"].values())))
    files = ",".join(f'"{number}":{one}' for number in range(entries))
    (folder / MANIFEST).write_text(
        json.dumps({**manifest, "files": {}})[:-1].replace('"files": {}', f'"files": {{{files}}}') + "}"
    )


def test_no_pointer_stops_a_server_that_has_a_release(lake, log):
    old, pointer = publish.current(lake.releases), lake.releases / "current"
    with served(lake, log, workers=1) as url:
        for make in BAD_POINTERS:
            remove(pointer)
            make(pointer)
            for _ in range(3):  # the request that notices the change, and those after it
                answer = HTTP.get(f"{url}/v1/users/user-1/home-feed?limit=1", timeout=10)
                assert (answer.status_code, answer.json()["release"]) == (200, old), make
                time.sleep(0.05)
        assert HTTP.get(f"{url}/v1/releases/current").json()["substitute_for"] == "an unreadable pointer"
        new = lake.publish(seed=1)  # replaces whatever the pointer is
        assert until(lambda: HTTP.get(f"{url}/v1/releases/current").json()["version"] == new)
        (lake.releases / "current").unlink()
        make_fifo(pointer)  # and the server ends
        HTTP.get(f"{url}/readyz")
    assert "Traceback" not in log.read_text()


def test_a_server_starts_on_the_newest_whole_release_and_takes_the_current_one_once_it_is_repaired(lake, log):
    old = publish.current(lake.releases)
    middle, new = lake.publish(seed=1), lake.publish(seed=2)
    intact = (lake.releases / new / MANIFEST).read_bytes()
    (lake.releases / middle / "ranker.txt").write_text("tree")
    bomb(lake.releases / new)
    with served(lake, log, workers=1) as url:
        current = HTTP.get(f"{url}/v1/releases/current").json()
        assert (current["version"], current["substitute_for"]) == (old, new)
        assert HTTP.get(f"{url}/readyz").json() == {"status": "ready", "release": old, "substitute_for": new}
        assert "tastefeed_release_is_substitute 1.0" in HTTP.get(f"{url}/metrics").text
        assert HTTP.get(f"{url}/v1/users/user-1/home-feed").json()["release"] == old
        (lake.releases / new / MANIFEST).write_bytes(intact)
        assert until(lambda: HTTP.get(f"{url}/v1/users/user-1/home-feed").json()["release"] == new)
        assert "substitute_for" not in HTTP.get(f"{url}/v1/releases/current").json()
    assert "Traceback" not in log.read_text()


def test_a_full_disk_refuses_events_and_loses_none(lake, log, small_disk):
    lake.folder = shutil.copytree(lake.folder, small_disk / "lake")
    rows = [{**ROW, "event_id": f"e{number}"} for number in range(1000)]
    with served(lake, log, workers=1) as url:
        assert HTTP.post(f"{url}/v1/events", json={"events": rows[:10]}).json()["accepted"] == 10
        assert HTTP.put(f"{url}/v1/opt-outs/user/user-3/personalization").json()["opted_out"]
        with (small_disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
        refused = HTTP.post(f"{url}/v1/events", json={"events": rows})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert HTTP.put(f"{url}/v1/opt-outs/user/user-2/personalization").status_code == 503
        feed = HTTP.get(f"{url}/v1/users/user-1/home-feed")
        # a connection that was open before can still read the opt-outs, a new one cannot
        assert (feed.status_code, feed.json()["reason"] in {None, "opt_out_store_unavailable"}) == (200, True), (
            feed.text
        )
        assert not HTTP.get(f"{url}/v1/users/user-3/home-feed").json()["personalized"]
        assert HTTP.get(f"{url}/healthz").status_code == 200
        (small_disk / "filler").unlink()
        assert until(lambda: HTTP.post(f"{url}/v1/events", json={"events": rows[:10]}).status_code == 200)
        receipt = HTTP.post(f"{url}/v1/events", json={"events": rows}).json()
        assert (receipt["accepted"], receipt["duplicates"]) == (1000, 10)
        assert until(lambda: HTTP.get(f"{url}/v1/users/user-1/home-feed").json()["personalized"])
    assert "Traceback" not in log.read_text()
