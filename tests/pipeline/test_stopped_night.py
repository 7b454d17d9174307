"""A signal ends a real night within ten seconds: one line, the status of the signal, and no child process."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pipeline.lake import Lake
from pipeline.night_lock import locked
from tests import tiny

IN_SPARK, BETWEEN, IN_TRAINING = "forget", "events", "ranking_impressions"
"""The stage after whose line the signal is sent: Spark works, Airflow begins the next task, the two-tower trains."""
PAUSE_S = {IN_SPARK: 0.5, BETWEEN: 0, IN_TRAINING: 3}
CASES = [(signal.SIGTERM, IN_SPARK)]
if int(os.environ.get("CHAOS_KILLS", "1")) > 1:
    CASES = [(number, after) for number in (signal.SIGTERM, signal.SIGINT) for after in PAUSE_S]
ENDS_WITHIN_S = 10
LONG_TRAINING = {
    "TASTEFEED_TWO_TOWER__ENCODER": "content",
    "TASTEFEED_TWO_TOWER__EPOCHS": "1000000",
    "TASTEFEED_TWO_TOWER__PATIENCE": "1000000",
}


@pytest.mark.parametrize(("number", "after"), CASES)
def test_a_signal_ends_a_night_with_one_line_and_no_child_process(
    crossed: Path, tmp_path: Path, number: signal.Signals, after: str
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(crossed, lake)
    with start(lake) as night:
        wait_for_line(night, after)
        time.sleep(PAUSE_S[after])
        children = psutil.Process(night.pid).children(recursive=True)
        assert "java" in {child.name() for child in children}
        sent = time.monotonic()
        night.send_signal(number)
        printed, complaint = night.communicate(timeout=60)
        assert time.monotonic() - sent < ENDS_WITHIN_S
    assert night.returncode == 128 + number
    assert complaint == f"tastefeed: stopped by {number.name}; nothing half-written counts, run the command again\n"
    assert len(printed.splitlines()) <= 1, "the night went on"
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    with locked(Lake(lake)):
        pass
    assert statuses(lake, f"night {tiny.day()}") == ["KILLED"]


def statuses(lake: Path, name: str) -> list[str]:
    """The status of each run of this name in MLflow."""
    with closing(sqlite3.connect(lake / "mlflow.db")) as database:
        return [status for (status,) in database.execute("select status from runs where name = ?", [name])]


def start(lake: Path) -> subprocess.Popen[str]:
    """A night that a signal can end, also where the tests run in the background and ignore Ctrl-C."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", *tiny.command("nightly", "--lake", lake, "--as-of", tiny.day())],
        env=tiny.environment(**LONG_TRAINING, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_line(night: subprocess.Popen[str], stage: str) -> None:
    assert night.stdout is not None
    for line in night.stdout:
        if line.startswith(stage):
            return
    pytest.fail(f"the night ended before {stage}: {night.communicate()[1]}")
