"""A signal ends each long command within ten seconds: one line, its status, no child process, nothing half-written."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil
import pytest

from contracts import Settings
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.lake import Lake
from tests import tiny

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).parents[2]
SIGNALS = {"backtest": "TERM", "import": "INT", "recommend": "TERM", "bench": "INT"}
EACH = int(os.environ.get("CHAOS_KILLS", "1")) > 1
CASES = [(name, number) for name, one in SIGNALS.items() for number in (("TERM", "INT") if EACH else (one,))]
STARTS_WITHIN_S, ENDS_WITHIN_S = 120, 10
ENDLESS = ("epochs", "patience")


@dataclass(frozen=True)
class Running:
    """A command that works."""

    process: "subprocess.Popen[str]"
    folder: Path
    works: Callable[["Running"], bool]

    @property
    def children(self) -> list[psutil.Process]:
        """Its child processes, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)


def computes(running: Running) -> bool:
    """Whether a child process, a JVM or a fit, has worked for a second."""
    return any(sum(child.cpu_times()[:2]) > 1 for child in running.children)


def has_a_shard(running: Running) -> bool:
    return any((running.folder / "lists").glob("part-*"))


@pytest.fixture(scope="module")
def commands(crossed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Running]]:
    """Every command, started at the same time."""
    started = {case: start(case[0], crossed, tmp_path_factory.mktemp("-".join(case))) for case in CASES}
    yield started
    for running in started.values():
        running.process.kill()


def start(name: str, crossed: Path, folder: Path) -> Running:
    lake, users, events = folder / "lake", folder / "users.csv", folder / "events.parquet"
    shutil.copytree(crossed, lake)
    pl.DataFrame({"user_id": [f"new-{number}" for number in range(100_000)]}).write_csv(users)
    tiny.events(seed=8).write_parquet(events)
    endless = [word for field in ENDLESS for word in ("--set", f"two_tower.{field}=1000000")]
    bundled = ("--data", ROOT / "data", "--dataset", "deskdrop", "--methods", "two_tower", "--trials", 0)
    words = {
        "backtest": ("--weeks", 2, "--as-of", tiny.day(), "--lake", lake),
        "import": ("--events", events, "--lake", lake),
        "recommend": ("--users", users, "--out", folder / "lists", "--lake", lake),
        "bench": ("retrieval", *bundled, *endless, "--set", "two_tower.encoder=content", "--out", folder / "bench"),
    }
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *tiny.command(name, *words[name])],
        env=tiny.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Running(process, folder, has_a_shard if name == "recommend" else computes)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_signal_ends_a_command_with_one_line_and_no_child_process(
    commands: dict[tuple[str, str], Running], name: str, number: str
) -> None:
    running = commands[name, number]
    wait_until_it_works(running)
    children, sent, stop = running.children, time.monotonic(), signal.Signals[f"SIG{number}"]
    running.process.send_signal(stop)
    _, complaint = running.process.communicate(timeout=60)
    assert time.monotonic() - sent < ENDS_WITHIN_S
    assert running.process.returncode == 128 + stop
    assert complaint == f"tastefeed: stopped by {stop.name}; nothing half-written counts, run the command again\n"
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    for written in (*running.folder.rglob("landing/**/*.parquet"), *running.folder.rglob("lists/*.parquet")):
        pl.read_parquet(written)
    if name == "backtest":
        mlflow = MlflowLogger(Settings(), Lake(running.folder / "lake"))
        runs = mlflow.client.search_runs([mlflow.experiment_id])
        assert [run.info.status for run in runs if run.info.run_name.startswith("backtest")] == ["KILLED"]
        assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}


def wait_until_it_works(running: Running) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not running.works(running):
        assert running.process.poll() is None, running.process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
