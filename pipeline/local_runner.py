"""The night in this process: the DAG that Airflow schedules, run with `dag.test`."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from contracts import Settings
from contracts.atomic_files import require_writable
from contracts.errors import NightFailed, NightRunning
from features import warm_up
from pipeline.as_of_day import day_of_night
from pipeline.console_report import show_metrics
from pipeline.lake import Lake
from pipeline.run_context import RunContext, open_run_context
from pipeline.stage_runner import ending_at_ctrl_c
from pipeline.time_splits import midnight

ROOT = Path(__file__).parents[1]
"""The folder that holds `dags/`."""


@contextmanager
def locked(lake: Lake) -> Iterator[None]:
    """Lock the lake for one night.

    Raises `NightRunning` where another process holds the lock, `OSError` where the folder cannot be written to.
    """
    lake.folder.mkdir(parents=True, exist_ok=True)
    require_writable(lake.folder)
    lock = FileLock(lake.folder / ".night.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NightRunning(f"{lake.root}: another night is running on this lake; wait for it to end") from None
    try:
        yield
    finally:
        lock.release()


def airflow_environment(settings: Settings, home: Lake, *, debug: bool = False) -> dict[str, str]:
    """Airflow's settings for one process: its home in the lake, the folder of DAGs, tracebacks with `debug` alone."""
    airflow_home = settings.airflow_home or home.folder.absolute() / ".airflow"
    return {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR" if debug else "CRITICAL",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }


def run_nightly(lake: str, as_of: date | None, settings: Settings, *, debug: bool = False) -> RunContext:
    """Run the night of a day and return its context.

    Raises `OutlierDay`, `UnreadableInput` and `NightRunning` before the night starts, and `NightFailed`.
    """
    home = Lake(lake)
    day = day_of_night(home, as_of, settings.model_copy(update={"lake": lake}))
    night = open_run_context(lake, day, settings)
    with locked(home):
        warm_up(night.settings)  # while Airflow starts
        with ending_at_ctrl_c():
            _run_dag(night, airflow_environment(settings, home, debug=debug))
    return night


def _run_dag(night: RunContext, airflow: dict[str, str]) -> None:
    os.environ |= {name: value for name, value in airflow.items() if name not in os.environ or name == "AIRFLOW_HOME"}
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside Airflow do not concern the user
        from airflow.utils.db import upgradedb  # noqa: PLC0415  Airflow reads its environment when imported

        upgradedb()
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  see above

        dag = DagBag(ROOT / "dags").dags["nightly"]
        run = dag.test(logical_date=midnight(night.splits.as_of), run_conf={"lake": str(night.home.url)})
    if run.state != "success":
        failed = ", ".join(sorted(task.task_id for task in run.get_task_instances(state=["failed"])))
        raise _failure(night, failed)


def _failure(night: RunContext, failed: str) -> NightFailed:
    """The error of a night that failed; where the gates refused it, its metrics are printed first."""
    refusal = night.summary("refusal")
    if refusal.get("stage") == "gates":
        show_metrics(night)
    return NightFailed(
        refusal.get("message")
        or f"night {night.splits.as_of}: {failed} failed; `tastefeed --debug nightly` shows the traceback"
    )
