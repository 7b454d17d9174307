"""The night in this process: the DAG that Airflow schedules, run with `dag.test`."""

import os
import sys
import warnings
from datetime import date
from functools import partial

from contracts import Settings
from contracts.errors import NightFailed
from contracts.stop_signals import called_if_stopped
from features import warm_up
from pipeline.airflow_servers import ROOT, airflow_environment
from pipeline.as_of_day import choose_as_of
from pipeline.console import console
from pipeline.console_report import show_metrics
from pipeline.experiments.night_run import checked_label
from pipeline.experiments.open_runs import FAILED, KILLED, end_night
from pipeline.lake import Lake
from pipeline.night_lock import locked
from pipeline.privacy.opt_out_lake import OptOutLake
from pipeline.run_context import RunContext, open_run_context
from pipeline.time_splits import midnight
from pipeline.training_data import announced
from serving.releases.publish import current_or_none


def run_nightly(
    lake: str, as_of: date | None, settings: Settings, *, label: str = "", publish: bool = False, debug: bool = False
) -> RunContext:
    """Run the night of a day and return its context. `publish` lets its release serve even if a later day's does.

    Raises `OutlierDay`, `UnreadableInput` and `NightRunning` before the night starts, and `NightFailed`.
    """
    home = Lake(lake)
    chosen = choose_as_of(home, as_of, settings.model_copy(update={"lake": lake}))
    console.print(chosen.line())
    night = open_run_context(lake, chosen.day, settings, label=checked_label(label), publish=publish)
    level = "ERROR" if debug else "CRITICAL"
    with locked(home):
        announce_shortage(night)
        warm_up(night.settings)  # while Airflow starts
        with called_if_stopped(partial(end_night, night, KILLED)):
            _run_dag(night, airflow_environment(settings, home) | {"AIRFLOW__LOGGING__LOGGING_LEVEL": level})
    return night


def announce_shortage(night: RunContext) -> None:
    """Print what is missing for models, if anything, before Spark starts; the stage `events` decides on it."""
    OptOutLake(night.home, night.settings, night.opt_out_service).create()
    if sentence := announced(night):
        console.print(sentence, markup=False)


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
        day = midnight(night.splits.as_of)
        conf = {"lake": str(night.home.url), "label": night.label, "publish": night.publish}
        run = dag.test(run_after=day, logical_date=day, run_conf=conf)
    if run.state != "success":
        end_night(night, FAILED)
        failed = ", ".join(sorted(task.task_id for task in run.get_task_instances(state=["failed"])))
        raise _failure(night, failed)


def _failure(night: RunContext, failed: str) -> NightFailed:
    """The error of a night that failed; where the gates refused it, its metrics are printed first."""
    refusal = night.summary("refusal")
    if refusal.get("stage") == "gates":
        show_metrics(night)
    message = refusal.get("message") or (
        f"night {night.splits.as_of}: {failed} failed; `tastefeed --debug nightly` shows the traceback"
    )
    serving = current_or_none(night.releases)
    outcome = f"release {serving} keeps serving" if serving else "no release serves yet"
    return NightFailed(message if outcome in message else f"{message}; {outcome}")
