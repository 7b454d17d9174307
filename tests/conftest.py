"""Fixtures that several packages use."""

import logging
import os
import tempfile
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


UNVERIFIED = "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
"""Java does not verify the classes of Spark, which takes a sixth of the processor time of a short session."""


def pytest_configure(config: pytest.Config) -> None:
    """All temporary files of a run lie in one folder, which goes with the run: also those of killed processes."""
    if not hasattr(config, "workerinput"):  # the processes of a parallel run use the folder of their parent
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # what failed tests leave is kept there
        folder = tempfile.TemporaryDirectory(prefix="run-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["TMPDIR"] = tempfile.tempdir = folder.name
        os.environ["SPARK_SUBMIT_OPTS"] = UNVERIFIED
        if not os.statvfs(folder.name).f_flag & os.ST_NOEXEC:  # Java loads libraries from there
            os.environ["SPARK_SUBMIT_OPTS"] += f" -Djava.io.tmpdir={folder.name}"
    # Airflow reads its environment when it is imported: one home per process of tests, for the nights of all lakes
    os.environ |= {
        "AIRFLOW_HOME": tempfile.mkdtemp(prefix="airflow-"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
    }


LONGEST_FIRST = (
    "pipeline/test_first_night.py",
    "pipeline/test_chaos.py",
    "pipeline/test_cases.py",
    "benchmarks/test_soak.py",
    "benchmarks/test_ranking_benchmark.py",
    "pipeline/test_compared_nights.py",
    "cli/test_system_errors.py",
    "notebooks/test_compare_experiments.py",
    "pipeline/test_model_refusals.py",
    "pipeline/test_opt_out_night.py",
    "pipeline/test_stopped_night.py",
    "pipeline/test_entry_points.py",
)
"""Files that take about half a minute and more: begun first, none of them runs alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True)
def _python_s_level_of_logs() -> None:
    """A night in the same process leaves Airflow's level, which hides warnings from `caplog`."""
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def spark() -> "SparkSession":
    """The one Spark session of this process. A night in the same process uses it too."""
    from features import spark as start  # most packages need no JVM

    session = start(Settings(spark_master="local[2]", spark_shuffle_partitions=2, spark_driver_memory="1g"))
    session.conf.set("spark.sql.shuffle.partitions", 2)  # a night may have started it with one
    return session


@pytest.fixture(scope="session")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after the night of its last day, run by the command line as a process of its own. Copy it to change it."""
    home = tmp_path_factory.getbasetemp()
    home = home.parent if "PYTEST_XDIST_WORKER" in os.environ else home
    lake = home / "crossed" / "lake"
    with FileLock(home / "crossed.lock"):  # the first process that needs it runs the night, the others wait
        if not (lake / "printed.txt").exists():
            tiny.ingest(lake)
            night = tiny.tastefeed(
                "nightly", "--lake", lake, "--as-of", tiny.day(), "--label", "first night", **tiny.covered()
            )
            assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
            (lake / "printed.txt").write_text(night.stdout)
    return lake
