"""Real processes, killed without warning: the old release serves, and the next night makes exactly what an undisturbed
one made, so a second run of a day changes nothing. The suite kills the last stage, `make chaos` whole nights."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from contracts.schemas import DERIVED
from evaluation.results import CHAMPION
from serving.releases import publish
from tests import tiny

KILLS = int(os.environ.get("CHAOS_KILLS", "1"))
SUCCEED_EVERY = 3
"""After so many kills the next night is left alone, and must succeed."""
INSIDE_PUBLISH = 2
"""Of so many kills, the first waits until a release is being staged; the others come at random instants."""
LONGEST_S = 300

LENGTH_S = 30
"""About what a night on the tiny lake takes."""
RELEASE_STAGE = "import sys; from pipeline.airflow_tasks import run_task; run_task('release', *sys.argv[1:])"
TRIES = 5
OTHER_RELEASE = {"TASTEFEED_RANKING__SLATE__DIVERSITY": "0.5"}
"""With this setting, the same day has another version."""

pytestmark = [
    pytest.mark.timeout((KILLS + 2) * LONGEST_S),
    # MLflow and Airflow warn about their own dependencies when they are imported
    pytest.mark.filterwarnings("ignore"),
]


def test_after_a_kill_the_old_release_serves_and_the_next_night_makes_the_same(crossed: Path, tmp_path: Path) -> None:
    lake, luck = tmp_path / "lake", random.Random(20_170_301)
    shutil.copytree(crossed, lake)
    for kill in range(1, KILLS + 1):
        served = publish.current(lake / "releases")
        if KILLS == 1:
            night = publishing(lake)
        else:
            night = start(lake, days_back=kill % 2)
            if kill % INSIDE_PUBLISH == 1:
                is_staging(lake, night)
            else:
                time.sleep(luck.uniform(1, LENGTH_S))
        kill_all(night)
        now = publish.current(lake / "releases")
        publish.load(lake / "releases")  # reads and verifies every file
        assert publish.verify(lake / "releases", served).version == served
        print(f"kill {kill}: {'switched before' if now != served else 'the old release serves'}")
        if kill % SUCCEED_EVERY == 0 or kill == KILLS:
            assert_next_night_makes_the_same(lake, crossed)


def start(lake: Path, *, days_back: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        tiny.command("nightly", "--lake", lake, "--as-of", tiny.day(days_back)),
        env=tiny.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def start_release(lake: Path) -> subprocess.Popen[bytes]:
    """The last stage alone, about to publish another release of the same night."""
    return subprocess.Popen(
        [sys.executable, "-c", RELEASE_STAGE, lake, tiny.day().isoformat()],
        env=tiny.environment(AIRFLOW_HOME=os.environ["AIRFLOW_HOME"], **OTHER_RELEASE),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_all(night: subprocess.Popen[bytes]) -> None:
    """The night and whatever it started, Spark's JVM too."""
    if night.poll() is None:
        os.killpg(night.pid, signal.SIGKILL)
    night.wait()


def publishing(lake: Path) -> subprocess.Popen[bytes]:
    """A process that is publishing a release. On a busy machine the moment may pass unseen: then it publishes again."""
    for _ in range(TRIES):
        process = start_release(lake)
        if is_staging(lake, process):
            return process
        assert process.wait() == 0
    pytest.fail(f"no release was seen being staged in {TRIES} tries")


def is_staging(lake: Path, night: subprocess.Popen[bytes]) -> bool:
    """Wait until a release is being staged; false where the process ended before that was seen."""
    deadline = time.monotonic() + LONGEST_S
    while not list((lake / "releases").glob(".staging-*")):
        if night.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True


def assert_next_night_makes_the_same(lake: Path, undisturbed: Path) -> None:
    partitions = [Path(table) / f"as_of={tiny.day()}" for table in (*DERIVED, "metrics")]
    before = [generation(lake / partition) for partition in partitions]
    night = tiny.tastefeed_here("nightly", "--lake", lake, "--as-of", tiny.day())
    assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
    assert publish.verify(lake / "releases").version == publish.current(undisturbed / "releases")
    assert not list((lake / "releases").glob(".staging-*"))
    for partition, old in zip(partitions, before, strict=True):
        assert generation(lake / partition) != old, f"{partition} was not made again"
        assert rows(lake / partition) == rows(undisturbed / partition), partition


def generation(partition: Path) -> str:
    """The name of the writing that counts."""
    return (partition / "_current").read_text().strip()


def rows(partition: Path) -> list[str]:
    """The current rows of a partition, in an order of their own; without the champion's figures, for who was champion
    depends on which of the killed nights came far enough to publish."""
    files = sorted((partition / generation(partition)).rglob("*.parquet"))
    current_rows = [row for path in files for row in pl.read_parquet(path).iter_rows()]
    return sorted(str(row) for row in current_rows if CHAMPION not in row)
