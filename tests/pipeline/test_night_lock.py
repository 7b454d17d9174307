"""One night at a time on a lake, in this process or as tasks of Airflow."""

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from contracts.errors import NightRunning
from pipeline.lake import Lake
from pipeline.night_lock import locked, locked_for_task


def test_a_second_night_on_a_lake_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with locked(lake):
        with (
            pytest.raises(NightRunning, match="another night is running on this lake; wait for it to end"),
            locked(lake),
        ):
            pass
        with locked(Lake(tmp_path / "other")):
            pass
    with locked(lake):
        pass


def test_a_night_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(KeyboardInterrupt), locked(lake):
        raise KeyboardInterrupt
    with locked(lake):
        pass


def test_a_task_waits_for_the_night_of_another_process(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pipeline.lake import Lake; from pipeline.night_lock import locked\n"
        "with locked(Lake(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        entered = Event()
        Thread(target=enter, args=[Lake(tmp_path), entered], daemon=True).start()
        assert not entered.wait(0.2)
        other.communicate("")
        assert entered.wait(10)


def enter(lake: Lake, entered: Event) -> None:
    with locked_for_task(lake):
        entered.set()


def test_the_tasks_of_a_night_in_this_process_use_its_lock(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with locked(lake), locked_for_task(lake), locked_for_task(lake):
        pass
    with locked_for_task(lake), pytest.raises(NightRunning), locked(lake):
        pass
