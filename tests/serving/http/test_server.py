"""Real processes: `serve` under uvicorn with two workers."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from serving.http.compiled_code import load_compiled_code
from serving.http.server import environment
from serving.privacy.opt_out_service import OptOutService
from tastefeed_client import TastefeedClient
from tests import tiny
from tests.serving.conftest import read_values

HEAVY = (
    "pyspark",
    "airflow",
    "mlflow",
    "torch",
    "pandas",
    "sklearn",
    "polars",
    "pipeline",
    "models",
)
SERVE = """
import sys
from contracts import Settings
from serving.http.server import serve
serve(Settings(), port=int(sys.argv[1]), workers=int(sys.argv[2]))
"""
SLOW_START = """
import os, time
os.register_at_fork(after_in_child=lambda: time.sleep(6))
"""
"""For a worker that starts slowly, as on a busy machine: uvicorn's default is to start it anew after five seconds."""

HTTP = httpx.Client(headers={"Connection": "close"})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(lake, log, *, workers: int, prefix: tuple[str, ...] = (), **variables: str) -> Iterator[str]:
    port = free_port()
    environ = {**os.environ, "TASTEFEED_LAKE": str(lake.folder), "OMP_NUM_THREADS": "1", **variables}
    command = [*prefix, sys.executable, "-c", SERVE, str(port), str(workers)]
    with log.open("w") as output, subprocess.Popen(command, env=environ, stdout=output, stderr=output) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)


def wait_for(url: str, process: subprocess.Popen) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        try:
            if HTTP.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} never came")


def answers(url: str, count: int) -> list[dict]:
    """Answers over fresh connections, so that both workers take some."""
    return [HTTP.get(f"{url}/v1/users/user-1/home-feed?limit=5").json() for _ in range(count)]


def workers_that_answered(log) -> set[str]:
    return set(re.findall(r"Started server process \[(\d+)\]", log.read_text()))


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def mapped(process: psutil.Process, name: str, within: Path = Path("/")) -> bool:
    """Whether a process has mapped such a file: a library, or one of a release."""
    return any(name in each.path and Path(each.path).is_relative_to(within) for each in process.memory_maps())


def private_mb(process: psutil.Process) -> float:
    return process.memory_full_info().uss / 1e6


@pytest.fixture
def log(tmp_path):
    return tmp_path / "server.log"


def test_a_read_only_lake_has_personal_feeds(lake, log):
    service = OptOutService.of(lake.settings())
    service.opt_out("user", "user-2", "personalization")
    service.events.drain()  # creates the store, as a night does
    service.close()
    tiny.make_read_only(lake.folder)
    before = {path: path.stat().st_mtime_ns for path in lake.folder.rglob("*")}
    with served(lake, log, workers=1, prefix=tiny.BOUND_BY_PERMISSIONS) as url:
        assert HTTP.get(f"{url}/v1/users/user-1/home-feed").json()["personalized"]
        assert HTTP.get(f"{url}/v1/users/user-2/home-feed").json()["reason"] == "opted_out"
        refused = HTTP.put(f"{url}/v1/opt-outs/user/user-1/personalization")
        assert refused.status_code == 503
        assert "is read-only; let this user write to the file and its folder" in refused.json()["detail"]
        row = {"user_id": "user-1", "item_id": "item-1", "action": "click", "timestamp": "2017-03-02T00:00:00Z"}
        assert HTTP.post(f"{url}/v1/events", json={"events": [row]}).status_code == 503
    assert {path: path.stat().st_mtime_ns for path in lake.folder.rglob("*")} == before


def test_two_workers_share_opt_outs_metrics_and_the_release(lake, log, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    memory = tmp_path / "memory"
    memory.mkdir()
    with served(lake, log, workers=2, PYTHONPATH=paths, TASTEFEED_SHARED_FOLDER=str(memory)) as url:
        assert all(answer["personalized"] for answer in answers(url, 20))
        assert until(lambda: len(workers_that_answered(log)) == 2)
        workers = [psutil.Process(int(worker)) for worker in workers_that_answered(log)]
        for worker in workers:
            assert until(lambda worker=worker: mapped(worker, "users.safetensors", within=memory))
            assert not [name for name in HEAVY if mapped(worker, f"/{name}/")]
        for _ in range(6):  # whichever worker is scraped, the values are those of both
            metrics = read_values(HTTP.get(f"{url}/metrics").text)
            assert metrics['tastefeed_feeds_total{reason="personalized"}'] == 20
            assert metrics['tastefeed_stage_seconds_count{stage="scores"}'] == 20
            assert metrics["tastefeed_page_diversity_count"] == 20

        assert HTTP.put(f"{url}/v1/opt-outs/user/user-1/personalization").json()["opted_out"]
        assert {answer["reason"] for answer in answers(url, 20)} == {"opted_out"}
        HTTP.delete(f"{url}/v1/opt-outs/user/user-1/personalization")
        before = answers(url, 20)
        assert all(answer["personalized"] for answer in before)

        for action, item in zip(("click", "save", "hide"), before[0]["items"], strict=False):
            row = {
                "user_id": "user-1",
                "item_id": item["item_id"],
                "action": action,
                "timestamp": "2017-03-02T00:00:00Z",
            }
            assert HTTP.post(f"{url}/v1/events", json={"events": [row]}).json()["accepted"] == 1
            shown = {shown["item_id"] for answer in answers(url, 10) for shown in answer["items"]}
            assert item["item_id"] not in shown, action

        page = HTTP.get(f"{url}/v1/users/user-1/home-feed?limit=5").json()
        new = lake.publish(seed=1)
        for _ in range(100):
            if {answer["release"] for answer in answers(url, 10)} == {new}:
                break
        assert {answer["release"] for answer in answers(url, 20)} == {new}

        following = f"{url}/v1/users/user-1/home-feed?limit=5&cursor={page['cursor']}"
        for more in [HTTP.get(following).json() for _ in range(10)]:  # whichever worker is asked
            assert (more["release"], more["items"][0]["rank"]) == (new, 6)
            assert not {item["item_id"] for item in more["items"]} & {item["item_id"] for item in page["items"]}

        text = HTTP.get(f"{url}/metrics").text
        counted = re.search(r'tastefeed_requests_total\{.*method="PUT".*\} (\S+)', text)
        assert counted is not None, text
        assert float(counted[1]) == 1  # whichever worker is asked
        assert [folder.name[: len(new)] for folder in memory.glob("*/*/")] == [new]
        assert max(map(private_mb, workers)) < 120
        workers[0].parent().kill()
        assert until(lambda: not any(worker.is_running() for worker in workers)), "workers end with their supervisor"
        assert not list(memory.glob("*/*")), "the last worker removes the copy"
    assert len(workers_that_answered(log)) == 2
    assert "died" not in log.read_text()  # the slow start of the workers was waited for
    assert "user-1" not in log.read_text()
    assert "GET /v1/users/{user_id}/home-feed 200" in log.read_text()


def test_any_id_over_the_wire(lake, log):
    ids = ["acct/42", "https://example.org/a?b=1#c", "at://did:plc:abc/x", "//", "100%", "..", "Zürich/東京"]
    with served(lake, log, workers=1) as url:
        with TastefeedClient(url) as client:
            for id_ in ids:
                record = client.opt_out("user", id_, "personalization")
                assert (record.subject_id, record.opted_out) == (id_, True)
                assert client.home_feed(id_, limit=1).reason == "opted_out"
        answer = HTTP.get(f"{url}/v1/users/acct%2F42/home-feed?limit=1")
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
        assert HTTP.get(f"{url}/v1/users/%ED%A0%80/home-feed").status_code == 422
    assert not [id_ for id_ in ids if len(id_) > 2 and id_ in log.read_text()]


def test_a_swap_under_load_drops_no_request(lake, log):
    statuses: Counter[int] = Counter()
    releases: set[str] = set()
    done = threading.Event()

    def request(url: str) -> None:
        with httpx.Client() as client:
            while not done.is_set():
                answer = client.get(f"{url}/v1/users/user-2/home-feed")
                statuses[answer.status_code] += 1
                releases.add(answer.json()["release"])

    with served(lake, log, workers=1) as url:
        threads = [threading.Thread(target=request, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        versions = [lake.publish(seed=seed) for seed in (1, 2)]
        for _ in range(100):
            if versions[-1] in releases:
                break
            time.sleep(0.1)
        broken = lake.publish(seed=3)
        done.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}
        assert versions[-1] in releases
        assert broken
    assert "Traceback" not in log.read_text()


def test_a_worker_imports_little_and_compiles_nothing(lake):
    """What a worker imports: no training, no tables, no Spark; little time and memory. It compiles nothing itself: the
    code that is loaded before workers are forked is all that a release needs."""
    load_compiled_code()  # from here on, it is on the disk
    code = f"""
import sys, time
from pathlib import Path
import psutil
started = time.perf_counter()
from serving.http.server import application
application()
seconds, megabytes = time.perf_counter() - started, psutil.Process().memory_info().rss / 1e6
from serving.http.compiled_code import load_compiled_code
load_compiled_code()
from numba.core.registry import CPUDispatcher
def functions():
    kernels = [vars(module) for name, module in list(sys.modules.items()) if name.endswith("_kernel")]
    return [(name, value) for kernel in kernels for name, value in kernel.items() if isinstance(value, CPUDispatcher)]
before = {{name: len(function.signatures) for name, function in functions()}}
from serving.releases.publish import load
release = load(Path({str(lake.releases)!r}))
compiled = [name for name, function in functions() if function.stats.cache_misses]
unexpected = [name for name, function in functions() if len(function.signatures) != before.get(name)]
assert sum(before.values()) > 6
heavy = [name for name in {HEAVY!r} if sys.modules.get(name)]
print(compiled, unexpected, heavy, seconds, megabytes)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, seconds, megabytes = run.stdout.rsplit(maxsplit=2)
    assert names == "[] [] []"
    assert float(megabytes) < 300
    assert float(seconds) < 20  # about 2 s on an idle machine


def test_settings_reach_the_workers_through_the_environment(lake):
    settings = lake.settings(feed_keys="f1,f2")
    assert environment(settings) == {"TASTEFEED_LAKE": str(lake.folder), "TASTEFEED_FEED_KEYS": "f1,f2"}
