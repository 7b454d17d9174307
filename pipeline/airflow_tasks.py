"""How Airflow runs a stage: a refusal of tastefeed is final, any other error is retried."""

from contextlib import suppress
from datetime import date

from airflow.sdk.exceptions import AirflowFailException

from contracts import Settings
from contracts.errors import LASTING, TastefeedError, one_line
from pipeline.run_context import RunContext, open_run_context
from pipeline.stage_runner import interrupted, run_stage

INTERRUPTED = "interrupted"


def run_task(stage: str, lake: str, as_of: str) -> None:
    """Run one stage of one night. Raises `AirflowFailException`, which is not retried, where a retry cannot help."""
    if interrupted():
        raise AirflowFailException(INTERRUPTED)
    settings = Settings()
    night = open_run_context(lake or settings.lake, date.fromisoformat(as_of), settings)
    try:
        run_stage(night, stage)
    except KeyboardInterrupt as interrupt:
        raise AirflowFailException(INTERRUPTED) from interrupt
    except TastefeedError as refusal:
        raise _final(night, stage, refusal, str(refusal)) from refusal
    except OSError as error:
        if error.errno not in LASTING:
            raise
        raise _final(night, stage, error, one_line(error)) from error


def _final(night: RunContext, stage: str, error: Exception, message: str) -> AirflowFailException:
    with suppress(OSError):  # a full disk may not even hold this note
        night.write_summary("refusal", {"stage": stage, "error": type(error).__name__, "message": message})
    return AirflowFailException(message)
