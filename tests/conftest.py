"""Fixtures that more than one room uses."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

from contracts import Settings
from tests import tiny

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# a busy machine can hold up any example, and a night beside it does; the same examples at each run, so that what passes
# once passes again: `make fuzz` looks for new ones
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def spark() -> "SparkSession":
    """The test run's one Spark session."""
    from features import spark as start  # most rooms need no JVM

    return start(Settings(spark_master="local[2]", spark_shuffle_partitions=2, spark_driver_memory="1g"))


@pytest.fixture(scope="session")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after the night of its last day, run by the command line as a process of its own. Copy it to change it."""
    home = tmp_path_factory.getbasetemp()
    home = home.parent if "PYTEST_XDIST_WORKER" in os.environ else home
    lake = home / "crossed" / "lake"
    with FileLock(home / "crossed.lock"):  # the first process that needs it runs the night, the others wait
        if not (lake / "said.txt").exists():
            tiny.land(lake)
            night = tiny.tastefeed("nightly", "--lake", lake, "--as-of", tiny.day(), **tiny.covered())
            assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
            (lake / "said.txt").write_text(night.stdout)
    return lake
