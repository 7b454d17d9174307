"""Airflow's settings for a lake, and the walkthrough of `docs/airflow.md` with real servers."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from contracts import Settings
from pipeline.airflow_servers import ROOT, SERVERS, airflow_environment, server_environment
from pipeline.lake import Lake
from serving.releases import publish
from tests import tiny


def test_airflow_lives_in_the_lake_unless_the_settings_name_a_home(tmp_path: Path) -> None:
    home = Lake(tmp_path)
    environment = airflow_environment(Settings(), home)
    assert environment["AIRFLOW_HOME"] == str(tmp_path / ".airflow")
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
    elsewhere = airflow_environment(Settings(airflow_home=tmp_path / "af"), home)
    assert elsewhere["AIRFLOW_HOME"] == str(tmp_path / "af")


def test_the_folder_of_dags_is_the_one_of_this_checkout() -> None:
    assert (ROOT / "dags" / "nightly.py").is_file()


def test_every_address_is_loopback_with_the_port_that_was_given(tmp_path: Path) -> None:
    environment = server_environment(Settings(), Lake(tmp_path), 8123)
    addresses = {
        name: value for name, value in environment.items() if name.startswith(("AIRFLOW__API", "AIRFLOW__CORE__EX"))
    }
    assert addresses["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert addresses["AIRFLOW__API__PORT"] == "8123"
    assert addresses["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8123"
    assert addresses["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"
    assert "--skip-serve-logs" in SERVERS["scheduler"], "the log server listens on every address"


@pytest.mark.skipif("WALKTHROUGH" not in os.environ, reason="takes a quarter of an hour: make walkthrough")
@pytest.mark.timeout(5400)
def test_the_documented_backfill_gives_three_green_runs_in_sequence(tmp_path: Path) -> None:
    first, second, *_ = [documented(block, tmp_path) for block in blocks()]
    log = tmp_path / "servers.log"
    serve = f"{first.strip()} & echo $! > {tmp_path}/pid; wait"
    with log.open("w") as lines, subprocess.Popen(
        ["bash", "-ec", serve], env=shell(), cwd=ROOT, stdout=lines, stderr=lines
    ) as servers:  # fmt: skip
        try:
            wait_until(lambda: "Airflow serves" in log.read_text(), servers)
            assert listening_elsewhere(servers.pid) == []
            subprocess.run(["bash", "-ec", second], env=shell(), cwd=ROOT, check=True)
            wait_until(lambda: all(run[1] in ("success", "failed") for run in runs(tmp_path)), servers)
        finally:
            psutil.Process(int((tmp_path / "pid").read_text())).terminate()
    done = runs(tmp_path)
    assert [(name, state) for name, state, _, _ in done] == [
        (f"backfill__{day}T00:00:00+00:00", "success") for day in ("2017-02-27", "2017-02-28", "2017-03-01")
    ]
    assert all(before[3] <= after[2] for before, after in pairwise(done))
    assert publish.load(tmp_path / "lake" / "releases").manifest.as_of == datetime(2017, 3, 1, tzinfo=UTC)


def blocks() -> list[str]:
    """The shell blocks of the page, in order."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "airflow.md").read_text(), re.DOTALL)


def documented(block: str, folder: Path) -> str:
    """A block on a lake of the test."""
    return block.replace("$PWD/lake", str(folder / "lake"))


def shell() -> dict[str, str]:
    """An activated environment."""
    environment = tiny.environment()
    for name in tiny.FAST:
        environment.pop(name, None)
    return environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}


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


def runs(folder: Path) -> list[tuple[str, str, str, str]]:
    """Name, state, begin and end of each run, from Airflow's database."""
    with closing(sqlite3.connect(folder / "lake" / ".airflow" / "airflow.db", timeout=60)) as database:
        return database.execute(
            "select run_id, state, start_date, end_date from dag_run order by start_date"
        ).fetchall()
