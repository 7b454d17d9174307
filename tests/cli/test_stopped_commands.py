"""A signal ends each long command within ten seconds: one line, its status, no child process, nothing half-written."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import psutil
import pytest

from tests import tiny

ROOT = Path(__file__).parents[2]
SIGNALS = {"backtest": "TERM", "import": "INT", "recommend": "TERM", "bench": "INT"}
EACH = int(os.environ.get("CHAOS_KILLS", "1")) > 1
CASES = [(name, number) for name, one in SIGNALS.items() for number in (("TERM", "INT") if EACH else (one,))]
PATIENCE_S, ENDS_WITHIN_S = 180, 10
ENDLESS = ("epochs", "patience")


@dataclass
class Command:
    """A command that is stopped as soon as it works."""

    process: "subprocess.Popen[str]"
    folder: Path
    works: Callable[["Command"], bool]
    children: list[psutil.Process] = field(default_factory=list)
    """Its child processes when the signal was sent, and theirs."""
    sent: float = 0.0
    ended: float = 0.0

    def watch(self, number: str) -> None:
        """Send the signal, or note that the command has ended."""
        if self.process.poll() is not None:
            self.ended = self.ended or time.monotonic()
        elif not self.sent:
            self.children = psutil.Process(self.process.pid).children(recursive=True)
            if self.works(self):
                self.sent = time.monotonic()
                self.process.send_signal(signal.Signals[f"SIG{number}"])


def computes(command: Command) -> bool:
    """Whether a child process, a JVM or a fit, has worked for a second."""
    with suppress(psutil.NoSuchProcess):
        return any(sum(child.cpu_times()[:2]) > 1 for child in command.children)
    return False


def has_a_shard(command: Command) -> bool:
    return any((command.folder / "lists").glob("part-*"))


@pytest.fixture(scope="module")
def commands(crossed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Command]]:
    """Every command, started at the same time and stopped."""
    started = {case: start(case[0], crossed, tmp_path_factory.mktemp("-".join(case))) for case in CASES}
    deadline = time.monotonic() + PATIENCE_S
    while not all(command.ended for command in started.values()) and time.monotonic() < deadline:
        for (_, number), command in started.items():
            command.watch(number)
        time.sleep(0.05)
    yield started
    for command in started.values():
        command.process.kill()


def start(name: str, crossed: Path, folder: Path) -> Command:
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
    return Command(process, folder, has_a_shard if name == "recommend" else computes)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_signal_ends_a_command_with_one_line_and_no_child_process(
    commands: dict[tuple[str, str], Command], name: str, number: str
) -> None:
    command, stop = commands[name, number], signal.Signals[f"SIG{number}"]
    assert command.ended, "it neither worked nor ended"
    _, complaint = command.process.communicate()
    assert complaint == f"tastefeed: stopped by {stop.name}; nothing half-written counts, run the command again\n"
    assert command.process.returncode == 128 + stop
    assert command.ended - command.sent < ENDS_WITHIN_S
    assert [child for child in command.children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    for written in (*command.folder.rglob("landing/**/*.parquet"), *command.folder.rglob("lists/*.parquet")):
        pl.read_parquet(written)


def test_the_run_of_a_stopped_backtest_is_killed_in_mlflow(commands: dict[tuple[str, str], Command]) -> None:
    for lake in (command.folder / "lake" for (name, _), command in commands.items() if name == "backtest"):
        with closing(sqlite3.connect(lake / "mlflow.db")) as database:
            runs = database.execute("select name, status from runs").fetchall()
        assert [status for name, status in runs if name.startswith("backtest")] == ["KILLED"]
        assert {status for _, status in runs} == {"FINISHED", "KILLED"}
