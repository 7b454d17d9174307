"""A full disk: a process whose files may not grow, so that each larger write fails as on a disk without space.

Each writer reports the place and the remedy, leaves what was there, and no part of what it wrote."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from contracts.errors import FULL_TEMPORARY, REMEDIES, one_line
from evaluation import MethodMetrics
from pipeline import backtest
from pipeline.lake import Lake
from serving.releases import publish
from tests import tiny
from tests.serving.tiny import contents, publish_tiny, write_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark warns about its own dependencies
pytestmark = pytest.mark.filterwarnings("ignore")
DAY = date(2017, 3, 1)
LARGEST_FILE = 4096
REMEDY = REMEDIES[errno.EFBIG]
WRITERS = f"""
import os, resource, signal, sys
from contracts.atomic_files import replace_file
from contracts.errors import LASTING, number_of, one_line
from datetime import date
from pathlib import Path
import polars as pl
from pipeline.lake import Lake
from serving.releases.publish import publish
root = Path(sys.argv[1])
lake, large = Lake(root / "lake"), pl.DataFrame({{"n": os.urandom(100_000).hex()}})

def fill_folder():
    with lake.new_folder("numbers", date(2017, 3, 1)) as folder:
        for name in ("one", "two"):
            (folder / name).symlink_to(root / "large")

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({LARGEST_FILE}, resource.RLIM_INFINITY))
for write in (
    lambda: replace_file(root / "note", bytes(100_000)),
    lambda: lake.overwrite("numbers", date(2017, 3, 1), large),
    fill_folder,
    lambda: publish(root / "build", root / "releases"),
):
    try:
        write()
    except OSError as error:
        print(number_of(error) in LASTING, one_line(error))
"""


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_writer_names_the_place_and_leaves_only_what_was_there(tmp_path: Path) -> None:
    lake, releases = Lake(tmp_path / "lake"), tmp_path / "releases"
    lake.overwrite("numbers", DAY, pl.DataFrame({"n": ["old"]}))
    (tmp_path / "note").write_bytes(b"old")
    (tmp_path / "large").write_bytes(bytes(100_000))
    served = publish_tiny(releases, tmp_path / "builds").version
    write_release(contents(tmp_path / "builds", seed=1), tmp_path / "build")
    before = files(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, tmp_path], env=tiny.environment(), capture_output=True, text=True, check=False
    )
    assert (done.stderr, files(tmp_path)) == ("", before)
    note, table, folder, release = done.stdout.splitlines()
    assert note == f"True {tmp_path}/note: File too large; {REMEDY}"
    assert table == f"True {lake.partition('numbers', DAY)}: File too large; {REMEDY}"
    assert folder.startswith(f"True {lake.partition('numbers', DAY)}/generation=")
    assert release.startswith(f"True {releases}/.staging-")
    assert all(line.endswith(REMEDY) for line in (folder, release))
    assert (tmp_path / "note").read_bytes() == b"old"
    assert lake.scan("numbers", DAY).collect()["n"].to_list() == ["old"]
    assert publish.verify(releases).version == served
    assert publish.publish(tmp_path / "build", releases).serves, "once there is space, the next try succeeds"


@contextmanager
def largest_file(process: int) -> Iterator[None]:
    """Within this block the process writes no larger file."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE, (LARGEST_FILE, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def test_a_table_that_spark_writes_fails_in_the_same_way(tmp_path: Path, spark: "SparkSession") -> None:
    lake = Lake(tmp_path)
    lake.overwrite("numbers", DAY, spark.range(1))
    before = files(tmp_path)
    with largest_file(spark.sparkContext._gateway.proc.pid), pytest.raises(OSError, match="File too large") as failed:
        lake.overwrite("numbers", DAY, spark.range(30_000).selectExpr("rand() as n"))
    assert one_line(failed.value) == f"{lake.partition('numbers', DAY)}: File too large; {REMEDY}"
    assert files(tmp_path) == before


def test_a_release_that_cannot_be_written_names_its_folder(tmp_path: Path) -> None:
    release = contents(tmp_path)
    with largest_file(os.getpid()), pytest.raises(OSError, match="File too large") as failed:
        write_release(release, tmp_path / "build")
    assert one_line(failed.value) == f"{tmp_path}/build: File too large; {REMEDY}"


def test_a_table_of_a_backtest_that_cannot_be_written_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtest, "markdown", lambda _: "")
    random = np.random.default_rng(0)
    means = [MethodMetrics(f"method {row}", 1, {}, {"ndcg_at_20": random.random()}) for row in range(1000)]
    measured = backtest.Backtest([], means, {})
    monkeypatch.setattr(backtest.Backtest, "candidate_recall", 1.0)
    with largest_file(os.getpid()), pytest.raises(OSError, match="File too large") as failed:
        backtest.write(measured, DAY, tmp_path / "out")
    assert one_line(failed.value) == f"{tmp_path}/out: File too large; {REMEDY}"


def test_full_temporary_files_are_not_reported_as_a_full_lake(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with (
        largest_file(os.getpid()),
        pytest.raises(OSError, match="File too large") as failed,
        lake.new_folder("numbers", DAY) as folder,
    ):
        (folder / "one").write_bytes(bytes(100_000))
    assert one_line(failed.value) == f"{folder}: File too large; {FULL_TEMPORARY}"
    assert files(tmp_path) == []
