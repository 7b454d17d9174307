"""Limits on the requests of each key."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from contracts.errors import BadSetting
from serving.http.app import create_app
from serving.http.rate_limits import COUNTS_FILE, RateLimits
from serving.http.shared_counts import SharedCounts
from tests.serving.conftest import ADMIN, FEED, is_problem, read_values
from tests.serving.http.test_server import HTTP, served, workers_that_answered

PATH = "/v1/releases/current"


def test_a_key_above_its_limit_gets_the_time_to_wait(lake):
    settings = lake.settings(feed_keys="f2,f3", admin_keys="a1", rate_limit="3/minute")
    with TestClient(create_app(settings)) as client:
        assert [client.get(PATH, headers=FEED).status_code for _ in range(3)] == [200] * 3
        refused = client.get(PATH, headers=FEED)
        problem = is_problem(refused, 429)
        assert problem["detail"] == (
            "this key may send 3 per 1 minute (TASTEFEED_RATE_LIMIT); wait as many seconds as Retry-After has"
        )
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        is_problem(client.get("/", auth=("me", "f2")), 429)  # the page takes the same keys
        assert client.get(PATH, headers=ADMIN).status_code == 200  # each key has its own count
        assert client.get(PATH, headers={"Authorization": "Bearer f3"}).status_code == 200
        is_problem(client.get(PATH), 401)
        assert client.get("/readyz").status_code == 200
        counted = 'tastefeed_requests_total{method="GET",route="unmatched",status="429"} 2.0'
        assert counted in client.get("/metrics").text


def test_all_limits_hold(lake):
    settings = lake.settings(feed_keys="f2", rate_limit="100/second; 2 per hour")
    with TestClient(create_app(settings)) as client:
        statuses = [client.get(PATH, headers=FEED) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    assert int(statuses[-1].headers["Retry-After"]) > 3500


def test_the_workers_of_a_server_count_together_also_after_one_was_killed(lake, tmp_path):
    log, limit = tmp_path / "log", {"TASTEFEED_FEED_KEYS": "f2,f3", "TASTEFEED_RATE_LIMIT": "20/day"}
    with served(lake, log, workers=2, **limit) as url:

        def statuses(key: str) -> Counter[int]:
            """Of calls at the same time over fresh connections, so that both workers answer some."""
            call = partial(HTTP.get, url + PATH, headers={"Authorization": f"Bearer {key}"})
            with ThreadPoolExecutor(16) as threads:
                return Counter(answer.status_code for answer in threads.map(lambda _: call(), range(120)))

        assert statuses("f2") == {200: 20, 429: 100}
        worker = psutil.Process(int(workers_that_answered(log).pop()))
        worker.kill()
        worker.wait()
        assert HTTP.get(url + PATH, headers=FEED).status_code == 429
        assert statuses("f3") == {200: 20, 429: 100}


def test_counts_are_those_of_the_period_and_outlive_a_full_file(lake, tmp_path, monkeypatch):
    counts = SharedCounts(tmp_path / "counts")
    assert [counts.incr("key", 60, amount) for amount in (1, 3)] == [1, 4]
    assert (counts.get("key"), counts.get("other")) == (4, 0)
    assert counts.get_expiry("key") == pytest.approx(time.time() + 60, abs=10)
    assert [counts.incr("short", 0) for _ in range(2)] == [1, 1]  # each period has ended already
    counts.clear("key")
    assert (counts.get("key"), counts.get("short"), counts.check()) == (0, 0, True)
    counts.reset()

    monkeypatch.setenv(COUNTS_FILE, str(tmp_path / "full"))
    monkeypatch.setattr("serving.http.shared_counts.MAP_BYTES", 4096)
    limits = RateLimits(lake.settings(rate_limit="2/day"))
    limits.count("f2")
    limits.count("f2")
    with pytest.raises(HTTPException, match="this key may send 2 per 1 day"):  # the worker counts on its own
        limits.count("f2")


def test_a_file_that_cannot_be_written_is_logged_once_and_counted(lake, tmp_path, monkeypatch, caplog):
    (folder := tmp_path / "full").write_text("a file, as a folder that takes no file")
    monkeypatch.setenv(COUNTS_FILE, str(folder / "counts"))
    with TestClient(create_app(lake.settings(feed_keys="f2", rate_limit="3/day"))) as client:
        assert [client.get(PATH, headers=FEED).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        values = read_values(client.get("/metrics").text)
        assert values["tastefeed_unshared_rate_counts_total"] == 5
        (line,) = (record.getMessage() for record in caplog.records if record.name == "tastefeed.rate_limits")
        assert "a key may send several times its limit; free space in the folder of temporary files (TMPDIR)" in line
        folder.unlink()
        folder.mkdir()  # repaired: the workers count together from now on
        assert client.get(PATH, headers=FEED).status_code == 200
    assert (folder / "counts").exists()


def test_a_clock_that_is_set_back_ends_the_period(tmp_path, monkeypatch):
    counts, now = SharedCounts(tmp_path / "counts"), time.time()
    assert [counts.incr("key", 60) for _ in range(2)] == [1, 2]
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert [counts.incr("key", 60) for _ in range(2)] == [1, 2]
    assert counts.get_expiry("key") == now - 3600 + 60


def test_a_worker_that_was_killed_while_it_read_is_no_reader_any_more(tmp_path):
    def reading_worker() -> int:
        """A process that reads the counts until it is killed."""
        reads, writes = os.pipe()
        if (worker := os.fork()) == 0:
            _reading = SharedCounts(tmp_path / "counts")._file.begin()
            os.write(writes, b"!")
            signal.pause()
        os.read(reads, 1)
        return worker

    alive, killed = reading_worker(), reading_worker()
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    readers = SharedCounts(tmp_path / "counts")._file.readers().split()
    os.kill(alive, signal.SIGKILL)
    os.waitpid(alive, 0)
    assert (str(alive) in readers, str(killed) in readers) == (True, False)


@pytest.mark.parametrize("setting", ["many", "0/second", "5/second;", "-1/second", "10/fortnight"])
def test_what_is_no_limit_is_refused(lake, setting):
    with pytest.raises(BadSetting, match="is no limit; write one as in 100/second"):
        create_app(lake.settings(rate_limit=setting))
