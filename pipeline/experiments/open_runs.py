"""The runs that a lake's nights and backtests opened in MLflow. A run whose process was killed must not stay RUNNING.

A lake notes each run that it opens. A signal ends the run as KILLED. Nothing ends it where the process is killed, so
the next night ends the noted runs that are still RUNNING. The night holds the lock of the lake, so their processes are
dead. Only a backtest may run at the same time, and the lock of its scratch lake shows that.

Airflow's tasks lock the lake one by one. So a night may end the run of another one that is between two of its tasks;
that one sets its status again when it ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from contracts.stop_signals import called_if_stopped, stopping
from pipeline.experiments.mlflow_logger import PARENT, MlflowLogger

if TYPE_CHECKING:
    from pipeline.run_context import RunContext

FOLDER = ".open_runs"
"""In the lake: one file a run, with the name of the backtest's scratch lake, or empty for a night."""
RUNNING, KILLED, FAILED = "RUNNING", "KILLED", "FAILED"


def note_run(night: "RunContext", run: str) -> None:
    """Note a run that was just opened."""
    is_backtest = night.lake.root != night.home.root
    folder = _folder(night)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / run).write_text(night.lake.folder.name if is_backtest else "")


def end_abandoned(night: "RunContext") -> None:
    """End the runs of killed nights and backtests as KILLED; call it after the sweep of scratch lakes."""
    for note in _folder(night).glob("*"):
        scratch = note.read_text()
        if not (scratch and night.home.scratch_exists(scratch)):
            end_if_running(night.mlflow, note.name, KILLED)
            note.unlink(missing_ok=True)


def end_night(night: "RunContext", status: str) -> None:
    """End the run of a night, if it has one that is still RUNNING."""
    if run := night.summary("forget").get("mlflow_run"):
        end_if_running(night.mlflow, run, status)


def end_if_running(mlflow: MlflowLogger, run: str, status: str) -> None:
    """End a run and its children as far as they are RUNNING. The try of a stage that was killed leaves such a child."""
    with suppress(MlflowException):  # the run was deleted, another server is in use now, or it does not answer
        info = mlflow.client.get_run(run).info
        children = f"attributes.status = '{RUNNING}' and tags.`{PARENT}` = '{run}'"
        for child in mlflow.client.search_runs([info.experiment_id], children):
            mlflow.end(child.info.run_id, status)
        if info.status == RUNNING:
            mlflow.end(run, status)


@contextmanager
def ended_with_block(mlflow: MlflowLogger, run: str) -> Iterator[None]:
    """End a run with the block: FINISHED, KILLED by a signal, or FAILED."""
    with called_if_stopped(partial(end_if_running, mlflow, run, KILLED)):
        try:
            yield
            mlflow.end(run)
        finally:
            if not stopping():
                end_if_running(mlflow, run, FAILED)


def _folder(night: "RunContext") -> Path:
    return night.home.folder / FOLDER
