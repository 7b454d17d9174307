"""Airflow for one lake: its settings, and its servers on loopback.

`airflow standalone` starts the same servers. But its two log servers listen on every address, and no setting of Airflow
3.3 changes that. With one machine they are not needed: the page reads the files.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from contracts import Settings
from contracts.errors import AirflowFailed
from pipeline.console import console
from pipeline.lake import Lake

ROOT = Path(__file__).parents[1]
"""The folder that holds `dags/`."""
HOST = "127.0.0.1"
SERVERS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
"""The servers and their commands. No task of the night waits for a trigger, so there is no triggerer."""
POLL_S = 0.5
START_S = 300
"""How long the servers may take to start."""
SQLITE_WAITS_S = 60
"""How long one server waits while another writes; with less, a busy machine ends a server."""
PASSWORDS = "simple_auth_manager_passwords.json.generated"


def airflow_environment(settings: Settings, home: Lake) -> dict[str, str]:
    """Airflow's settings for one lake: its home in the lake, and the folder of DAGs."""
    airflow_home = settings.airflow_home or home.folder.absolute() / ".airflow"
    return {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }


def server_environment(settings: Settings, home: Lake, port: int) -> dict[str, str]:
    """The environment of Airflow's processes: that of this process, with the lake and the port.

    Its database is SQLite in the home, unless the environment names another one.
    """
    address = f"http://{HOST}:{port}"
    ours = airflow_environment(settings, home) | {
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",  # tasks report to it; its default is 8080
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",  # as many processes wait for tasks; a night runs one at a time
        "TASTEFEED_LAKE": str(home.url),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    database = f"sqlite:///{ours['AIRFLOW_HOME']}/airflow.db?timeout={SQLITE_WAITS_S}"
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database, **os.environ, **ours}


def run_airflow(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command of Airflow and return its exit status."""
    return subprocess.run(_command(arguments), env=environment, check=False).returncode  # noqa: S603  the user's words


def serve_airflow(settings: Settings, home: Lake, port: int) -> None:
    """Serve until stopped. Raises `AirflowFailed` where a server ends by itself."""
    environment = server_environment(settings, home, port)
    logs = Path(environment["AIRFLOW_HOME"])
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)  # holds the password of the page
    for preparation in (("db", "migrate"), ("dags", "reserialize")):
        if status := run_airflow(preparation, {**environment, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}):
            raise AirflowFailed(f"airflow {' '.join(preparation)} ended with status {status}; see its lines above")
    with _running(environment, logs) as servers:
        _wait_until_ready(servers, port, logs)
        console.print(f"Airflow serves {home.url} on http://{HOST}:{port}; user admin, password in {logs / PASSWORDS}")
        while True:
            _require_running(servers, logs)
            time.sleep(POLL_S)


@contextmanager
def _running(environment: Mapping[str, str], logs: Path) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    servers = {}
    try:
        for name, arguments in SERVERS.items():
            with (logs / f"{name}.log").open("ab") as log:
                servers[name] = subprocess.Popen(_command(arguments), env=environment, stdout=log, stderr=log)  # noqa: S603  our words
        yield servers
    finally:
        for server in servers.values():
            server.terminate()


def _wait_until_ready(servers: Mapping[str, "subprocess.Popen[bytes]"], port: int, logs: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        _require_running(servers, logs)
        with suppress(URLError, OSError), urlopen(f"http://{HOST}:{port}/api/v2/version", timeout=POLL_S):
            return
        time.sleep(POLL_S)
    raise AirflowFailed(f"Airflow does not answer on port {port} after {START_S} s; see {logs}/api-server.log")


def _require_running(servers: Mapping[str, "subprocess.Popen[bytes]"], logs: Path) -> None:
    for name, server in servers.items():
        if server.poll() is not None:
            raise AirflowFailed(f"Airflow's {name} ended with status {server.returncode}; see {logs}/{name}.log")


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]
