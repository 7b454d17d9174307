"""The benchmark of serving: a real server under a real load generator, on a tiny release with an opted-out user."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from benchmarks import server_process
from benchmarks.benchmark_report import write_report
from benchmarks.fixed_reference import ReferenceSize
from benchmarks.load_generator import TOOL, LoadPlan, find_tool, load
from benchmarks.server_process import HOST, ServerProcess, process_group
from benchmarks.serving_benchmark import ServingPlan, measure, profiled_rows
from benchmarks.serving_report import Target, p95_at_rate, targets_table
from contracts.errors import LoadFailed, ToolMissing
from contracts.request_stages import STAGE_NAMES
from pipeline.stage_progress import StageProgress
from serving.privacy.opt_out_service import OptOutService
from serving.releases.publish import load as load_release
from tests.serving.conftest import lake, published  # noqa: F401  fixtures
from tests.serving.tiny import N_USERS

needs_tool = pytest.mark.skipif(shutil.which(TOOL) is None, reason=f"{TOOL} is not installed: see docs/benchmarking.md")


@needs_tool
def test_it_measures_a_real_server_and_writes_the_page(lake, tmp_path):  # noqa: F811
    settings = lake.settings()
    stores = OptOutService.of(settings)
    stores.opt_out("user", "user-0", "personalization")
    out = tmp_path / "tiny"
    out.mkdir()
    plan = ServingPlan(
        out, "tastefeed bench serving", seconds=1, rates=(4.0,), workers=1, reference=ReferenceSize(300, trees=3)
    )
    result = measure(settings, plan, StageProgress())
    assert [(each["clients"], each["rate"]) for each in result["loads"]] == [(1, None), (2, None), (8, None), (4, 4.0)]
    assert all(0 < each["p50_ms"] <= each["p95_ms"] <= each["max_ms"] for each in result["loads"])
    assert all(each["cpu_ms"] > 0 and each["busiest_share"] == 1 for each in result["loads"])  # of one worker
    assert result["loads"][3]["throughput"] < 10
    assert result["p50_over_bare"] > 0
    assert result["reference"]["p50_ms"] >= result["reference"]["score_ms"] > 0
    assert result["p50_over_reference"] > 0
    assert result["ready_s"] > 0
    assert result["worker_private_mb"] > 20
    assert set(result["stages_ms"]) >= {*STAGE_NAMES, "JSON"}
    assert result["lists"]["batch_rows"] == (N_USERS - 1) * 38  # nothing is measured on the opted-out user
    assert result["lists"]["many_users"] == N_USERS - 1
    assert json.loads((out / "metrics.json").read_text())["release"] == result["release"]
    page = write_report([out], tmp_path / "docs").read_text()
    assert "| closed, 8 at once |" in page
    assert "| P50 at one client, over the fixed reference | " in page
    over = f"{result['cpu_ms'] / result['reference']['cpu_ms']:.2f}"
    assert f"| processor time of a request, over that of the fixed reference | {over} |" in page
    possible = 1000 * result["machine"]["cores"] / result["reference"]["cpu_ms"]
    share = f"{result['throughput'] / possible:.2f}"
    assert f"| throughput, over that of the fixed reference on all cores | {share} |" in page
    assert page.endswith("Run it again: `tastefeed bench serving`\n")
    assert "user-" not in page + (out / "metrics.json").read_text() + (out / "server.log").read_text()
    assert (tmp_path / "docs" / "benchmarks" / "serving.svg").stat().st_size > 1000
    assert "serving.svg" in write_report([tmp_path / "docs/benchmarks/tiny.json"], tmp_path / "again").read_text()


class Refusing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[ServerProcess]:
    """A server that is not ours, in a thread."""
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ServerProcess(psutil.Process(), server.server_port, 0.0, feed_key="f", admin_key="a")
        server.shutdown()


@needs_tool
def test_an_answer_other_than_200_fails_the_load():
    refused = pytest.raises(LoadFailed, match=r"of \d+ answers, \d+ with status 503; all must be 200")
    with answering(Refusing) as server, refused:
        load(server, ["user-1"], LoadPlan(clients=1, seconds=0.2, limit=5))


def test_opted_out_users_are_not_measured(lake):  # noqa: F811
    stores = OptOutService.of(lake.settings())
    stores.opt_out("user", "user-0", "personalization")
    stores.opt_out("user", "user-1", "erasure")
    stores.opt_out("user", "user-2", "training")
    rows = profiled_rows(load_release(lake.releases), stores)
    assert sorted(rows.tolist()) == list(range(2, N_USERS))


def test_a_missing_load_generator_is_named_with_its_package(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ToolMissing, match=r"h2load is not on the PATH; install nghttp2 .*apt-get install nghttp2-client"
    ):
        find_tool()


def test_a_target_is_missed_where_the_server_does_not_reach_the_rate():
    assert Target("P95", p95_at_rate({"rate": 100, "throughput": 96, "p95_ms": 14.0}), 15, "ms").row[2:] == (
        "14 ms",
        "met",
    )
    assert Target("P95", p95_at_rate({"rate": 100, "throughput": 90, "p95_ms": 14.0}), 15, "ms").row[2:] == (
        "rate not reached",
        "**missed**",
    )
    assert Target("share", 0.69, 0.7, "times", at_most=False).row == (
        "share",
        "at least 0.7 times",
        "0.69 times",
        "**missed**",
    )


def test_ten_times_the_items_may_take_twice_the_time():
    runs = [a_run(items=100_000, p50_ms=4.0), a_run(items=1_000_000, p50_ms=8.4)]
    small, large = (targets_table(run, runs).rows() for run in runs)
    wanted = "P50 at one client, over that of 100,000 items"
    assert (wanted, "at most 2 times", "2.1 times", "**missed**") in large
    assert wanted not in [row[0] for row in small]


def a_run(items: int, p50_ms: float) -> dict:
    load = {"clients": 1, "rate": None, "p50_ms": p50_ms}
    figures = dict.fromkeys(("p50_over_bare", "cpu_ms", "throughput_over_bare", "ready_s", "worker_private_mb"), 1.0)
    return {"counts": {"items": items}, "loads": [load], **figures}


class StallingOnce(Refusing):
    requests = 0

    def do_GET(self) -> None:
        StallingOnce.requests += 1
        if StallingOnce.requests == 5:
            time.sleep(0.6)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@needs_tool
def test_an_open_loop_counts_the_time_that_requests_wait_for_a_slow_answer():
    with answering(StallingOnce) as server:
        result = load(server, ["user-1"], LoadPlan(clients=1, seconds=1.5, limit=5, rate=20.0))
    # one answer of thirty takes 0.6 s; the eleven requests that were due meanwhile waited for up to as long
    assert result.p95_ms > 400
    assert result.p50_ms < 100


class EndingConnections(Refusing):
    requests = 0

    def do_GET(self) -> None:
        EndingConnections.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        if EndingConnections.requests % 5 == 0:
            self.send_header("Connection", "close")
        self.end_headers()


@needs_tool
def test_an_open_loop_keeps_its_rate_where_the_server_ends_connections():
    with answering(EndingConnections) as server:
        result = load(server, ["user-1"], LoadPlan(clients=1, seconds=1.5, limit=5, rate=20.0))
    assert result.throughput > 0.9 * 20


NEVER_ENDS = r"""#!/bin/sh
for last; do :; done
printf '1000\t200\t5000\n500000\t200\t7000\n' > "$last"
exec sleep 60
"""


def test_a_load_generator_that_does_not_end_is_stopped_and_its_answers_count(monkeypatch, tmp_path: Path):
    (tmp_path / TOOL).write_text(NEVER_ENDS)
    (tmp_path / TOOL).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    server = ServerProcess(psutil.Process(), 1, 0.0, feed_key="f", admin_key="a")
    result = load(server, ["user-1"], LoadPlan(clients=2, seconds=0.1, limit=5))
    assert (result.requests, result.max_ms) == (4, 7)
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


IGNORES_SIGNALS = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
subprocess.Popen(["sleep", "60"])
print("started", flush=True)
time.sleep(60)
"""


def test_a_server_that_does_not_stop_leaves_no_worker(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(server_process, "STOP_WITHIN_S", 0.2)
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        process_group([sys.executable, "-c", IGNORES_SIGNALS], {}, output.fileno()) as process,
    ):
        while "started" not in log.read_text():
            time.sleep(0.01)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    assert len(family) == 2
    assert not psutil.wait_procs(family, timeout=5)[1]


STOPPED_BENCHMARK = f"""
import sys
from benchmarks.server_process import process_group
from contracts.stop_signals import ending_at_signals
with ending_at_signals(), process_group([sys.executable, "-c", {IGNORES_SIGNALS!r}], {{}}, 1):
    print("inside", flush=True)
    sys.stdin.read()
"""


def test_a_stopped_benchmark_leaves_no_server():
    benchmark = subprocess.Popen(
        [sys.executable, "-c", STOPPED_BENCHMARK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert benchmark.stdout is not None
    assert {benchmark.stdout.readline() for _ in range(2)} == {b"inside\n", b"started\n"}
    family = psutil.Process(benchmark.pid).children(recursive=True)
    assert len(family) == 2
    for _ in range(2):  # the second signal ends it at once
        benchmark.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert not psutil.wait_procs(family, timeout=5)[1]
    benchmark.communicate(timeout=10)
