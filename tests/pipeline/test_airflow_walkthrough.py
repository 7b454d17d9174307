"""The walkthrough of `docs/airflow.md` with real servers: three nights, one task killed, one night refused, and a feed
that is served all the time."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from pipeline.airflow_servers import ROOT
from serving.releases import publish
from tests import tiny

DAYS = ("2017-02-27", "2017-02-28", "2017-03-01")
USER = "-1443636648652872475"
READY = 200
REFUSED, ENDED = "too-early", ("success", "failed")
RUNS = "select run_id, state, start_date, end_date from dag_run order by start_date"
TRIES = "select task_id, state, try_number from task_instance where run_id like 'backfill__2017-02-28%'"
LONG = ("two_tower", "reranker")


@dataclass(frozen=True)
class Answer:
    """What the feed answered."""

    status: int | str
    release: str
    seconds: float


@pytest.mark.skipif("WALKTHROUGH" not in os.environ, reason="takes a quarter of an hour: make walkthrough")
@pytest.mark.timeout(5400)
def test_a_killed_and_a_refused_night_leave_three_green_runs_and_the_feed(tmp_path: Path) -> None:
    ports = {"8081": free_port(), "8000": free_port()}
    airflow, backfill, feed, refused, listed = (adapted(block, tmp_path, ports) for block in blocks())
    exports, _, _ = backfill.partition("\n")  # the last two commands follow in the same terminal
    with running(airflow, tmp_path / "airflow.log") as servers:
        wait_until(lambda: "Airflow serves" in (tmp_path / "airflow.log").read_text(), servers)
        assert listening_elsewhere(servers.pid) == []
        shell(backfill)
        wait_until(lambda: (tmp_path / "lake" / "releases" / "current").exists(), servers)
        with running(feed, tmp_path / "feed.log") as server, polled(ports["8000"], server) as answers:
            shell(f"{exports}\n{refused}")
            wait_until(lambda: (REFUSED, "failed") in {run[:2] for run in rows(RUNS, tmp_path)}, servers)
            wait_until(lambda: bool(long_tasks(tmp_path)), servers)
            time.sleep(10)  # the task has begun its work
            (killed,) = long_tasks(tmp_path)
            (process,) = task_processes(servers.pid)
            process.kill()
            wait_until(lambda: all(run[1] in ENDED for run in rows(RUNS, tmp_path)), servers)
            shell(f"{exports}\n{listed}")
            time.sleep(5)
            assert server.poll() is None
    report(tmp_path, answers)
    green = [run for run in rows(RUNS, tmp_path) if run[1] == "success"]
    assert [run[0] for run in green] == [f"backfill__{day}T00:00:00+00:00" for day in DAYS]
    assert all(before[3] <= after[2] for before, after in pairwise(green))
    assert (killed, "success", 2) in rows(TRIES, tmp_path)
    refusal = json.loads((tmp_path / "lake" / "nights" / "as_of=2016-03-20" / "refusal.json").read_text())
    assert f"release {DAYS[0]}" in refusal["message"]
    assert "keeps serving" in refusal["message"]
    assert {answer.status for answer in answers} == {READY}
    assert [release[:10] for release, _ in groupby(answer.release for answer in answers)] == list(DAYS)
    assert publish.load(tmp_path / "lake" / "releases").manifest.as_of == datetime(2017, 3, 1, tzinfo=UTC)
    with closing(sqlite3.connect(tmp_path / "lake" / "mlflow.db")) as database:
        nights = database.execute("select name, status from runs where name like 'night %'").fetchall()
    assert sorted(nights) == [("night 2016-03-20", "FAILED"), *((f"night {day}", "FINISHED") for day in DAYS)]


def blocks() -> list[str]:
    """The shell blocks of the section, in order."""
    page = (ROOT / "docs" / "airflow.md").read_text()
    section = page[page.index("## Three nights") : page.index("## An Airflow that you have")]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def adapted(block: str, folder: Path, ports: dict[str, int]) -> str:
    """A block with the lake and the ports of the test."""
    for documented, port in ports.items():
        block = block.replace(documented, str(port))
    return block.replace("$PWD/lake", str(folder / "lake"))


def shell(block: str) -> None:
    """Run a block in a terminal of its own."""
    subprocess.run(["bash", "-ec", block], env=activated(), cwd=ROOT, check=True)


def activated() -> dict[str, str]:
    """An activated environment, and no settings of tastefeed."""
    environment = tiny.environment(PYTHONPATH=str(ROOT))
    for name in tiny.FAST:
        environment.pop(name, None)
    return environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}


@contextmanager
def running(block: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A block whose last command serves until this one ends, in a terminal of its own."""
    with log.open("w") as lines, subprocess.Popen(
        ["bash", "-ec", block], env=activated(), cwd=ROOT, stdout=lines, stderr=lines
    ) as terminal:  # fmt: skip
        try:
            yield terminal
        finally:
            started = psutil.Process(terminal.pid)  # bash, or its only command, which it may have replaced itself with
            for command in started.children() if started.name() == "bash" else [started]:
                command.terminate()


@contextmanager
def polled(port: int, server: "subprocess.Popen[bytes]") -> Iterator[list[Answer]]:
    """The answers to a request of a feed a second, from the first one on."""
    answers: list[Answer] = []
    wait_until(lambda: requested(port).status == READY, server)
    ended = Event()
    thread = Thread(target=lambda: [answers.append(requested(port)) for _ in iter(lambda: ended.wait(1), True)])
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def requested(port: int) -> Answer:
    """One feed. An answer that fails has the name of its error."""
    begun = time.monotonic()
    try:
        with urlopen(f"http://127.0.0.1:{port}/v1/users/{USER}/home-feed?limit=10", timeout=10) as answer:
            feed = json.load(answer)
            status = answer.status if len(feed["items"]) == 10 else "too few items"
            return Answer(status, feed["release"], time.monotonic() - begun)
    except OSError as error:
        return Answer(repr(error), "", time.monotonic() - begun)


def wait_until(reached: Callable[[], bool], servers: "subprocess.Popen[bytes]") -> None:
    while not reached():
        assert servers.poll() is None
        time.sleep(1)


def listening_elsewhere(pid: int) -> list[str]:
    """The addresses other than loopback on which a process or its children listen."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    sockets = [each for process in processes for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
    assert sockets
    return [str(each.laddr) for each in sockets if each.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")]


def task_processes(pid: int) -> list[psutil.Process]:
    """The processes that run a task; their parents wait for them."""
    names = ((process, " ".join(process.cmdline())) for process in psutil.Process(pid).children(recursive=True))
    return [process for process, name in names if name.startswith("airflow worker -- ") and "Executor" not in name]


def rows(query: str, folder: Path) -> list[tuple[Any, ...]]:
    """Rows of Airflow's database."""
    with closing(sqlite3.connect(folder / "lake" / ".airflow" / "airflow.db", timeout=60)) as database:
        return database.execute(query).fetchall()


def long_tasks(folder: Path) -> list[str]:
    """The long tasks of the second night that run."""
    return [task for task, state, _ in rows(TRIES, folder) if task in LONG and state == "running"]


def report(folder: Path, answers: list[Answer]) -> None:
    """Print what the page reports: how long each run took, and how the feed answered."""
    for run, state, begun, ended in rows(RUNS, folder):
        minutes = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)) / timedelta(minutes=1)
        print(f"{run}: {state} after {minutes:.1f} min")
    print(f"{len(answers):,} answers of the feed, the slowest after {max(each.seconds for each in answers):.2f} s")
