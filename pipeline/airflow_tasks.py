"""How Airflow runs a stage: a refusal of tastefeed is final, any other error is retried."""

from contextlib import suppress
from datetime import date

from airflow.sdk.exceptions import AirflowFailException

from contracts import Settings
from contracts.errors import LASTING, TastefeedError, full_disk_as_os_error, number_of, one_line
from contracts.setting_variables import WRONG_SETTINGS, wrong_settings
from contracts.stop_signals import Stopped, end_if_stopped, end_process
from pipeline.night_lock import locked_for_task
from pipeline.run_context import RunContext, open_run_context
from pipeline.stage_runner import run_stage


def run_task(stage: str, lake: str, as_of: str, label: str = "", *, publish: bool = False) -> None:
    """Run one stage of one night. Raises `AirflowFailException`, which is not retried, where a retry cannot help."""
    end_if_stopped()  # Airflow may have caught the signal between two tasks
    night = _opened(lake, as_of, label, publish=publish)
    try:
        with locked_for_task(night.home), full_disk_as_os_error():
            run_stage(night, stage)
    except Stopped as stop:
        end_process(stop.status)  # Airflow would catch it, and run the task again
    except TastefeedError as refusal:
        raise _final(night, stage, refusal, str(refusal)) from refusal
    except OSError as error:
        if number_of(error) not in LASTING:
            raise
        raise _final(night, stage, error, one_line(error)) from error


def _opened(lake: str, as_of: str, label: str, *, publish: bool) -> RunContext:
    try:
        settings = Settings()
        return open_run_context(
            lake or settings.lake, date.fromisoformat(as_of), settings, label=label, publish=publish
        )
    except TastefeedError as bad_setting:
        raise AirflowFailException(str(bad_setting)) from bad_setting
    except WRONG_SETTINGS as wrong:
        raise AirflowFailException(wrong_settings(wrong)) from None  # its text has the value, perhaps a secret


def end_failed(night: RunContext) -> None:
    """End the night's run in MLflow, if it has one."""
    from pipeline.experiments.open_runs import FAILED, end_night  # noqa: PLC0415  MLflow is slow to import

    end_night(night, FAILED)


def _final(night: RunContext, stage: str, error: Exception, message: str) -> AirflowFailException:
    with suppress(OSError), full_disk_as_os_error():  # a full disk may not even hold this note
        night.write_summary("refusal", {"stage": stage, "error": type(error).__name__, "message": message})
        end_failed(night)
    return AirflowFailException(message)
