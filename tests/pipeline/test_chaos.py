"""Real nights in real processes, killed without warning: the old release serves, and the next run succeeds."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tastefeed.serving import publish
from tests import tiny

KILLS = int(os.environ.get("TASTEFEED_CHAOS_KILLS", "3"))
SUCCEED_EVERY = 3
"""After so many kills the next run is left alone, and must succeed."""
INSIDE_PUBLISH = 3
"""Every so many kills, one waits until a release is being staged."""
LONGEST_S = 300

LENGTH_S = 45
"""About what a night on the tiny lake takes."""

pytestmark = pytest.mark.timeout(KILLS * LONGEST_S)


def test_a_killed_night_leaves_the_old_release_serving_and_the_next_one_succeeds(crossed: Path, tmp_path: Path) -> None:
    lake, luck = tmp_path / "lake", random.Random(20_170_301)
    shutil.copytree(crossed, lake)
    for kill in range(1, KILLS + 1):
        served = publish.current(lake / "releases")
        night = start(lake, days_back=1 + kill % 2)
        if kill % INSIDE_PUBLISH == 0:
            wait_for_staging(lake, night)
        else:
            time.sleep(luck.uniform(1, LENGTH_S))
        kill_all(night)
        now = publish.current(lake / "releases")
        publish.load(lake / "releases")  # reads and verifies every file
        assert publish.verify(lake / "releases", served).version == served
        print(f"kill {kill}: {'switched before' if now != served else 'the old release serves'}")
        if kill % SUCCEED_EVERY == 0 or kill == KILLS:
            assert_succeeds(lake, days_back=1 + kill % 2)
            assert not list((lake / "releases").glob(".staging-*"))


def start(lake: Path, *, days_back: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        tiny.command("nightly", "--lake", lake, "--as-of", tiny.day(days_back)),
        env=tiny.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_all(night: subprocess.Popen[bytes]) -> None:
    """The night and whatever it started, Spark's JVM too."""
    if night.poll() is None:
        os.killpg(night.pid, signal.SIGKILL)
    night.wait()


def wait_for_staging(lake: Path, night: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not list((lake / "releases").glob(".staging-*")) and night.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def assert_succeeds(lake: Path, *, days_back: int) -> None:
    night = tiny.tastefeed("nightly", "--lake", lake, "--as-of", tiny.day(days_back))
    assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
    assert publish.verify(lake / "releases").version == publish.current(lake / "releases")
