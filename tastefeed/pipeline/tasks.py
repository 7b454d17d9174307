"""How Airflow runs a stage: our refusals are final, everything else is tried again."""

from datetime import date

from airflow.sdk.exceptions import AirflowFailException

from tastefeed.contracts import Settings
from tastefeed.contracts.errors import TastefeedError
from tastefeed.pipeline.night import open_night, run_stage


def run_task(stage: str, lake: str, as_of: str) -> None:
    """Run one stage of one night. Raises `AirflowFailException`, which is not retried, for what a retry cannot mend."""
    settings = Settings()
    night = open_night(lake or settings.lake, date.fromisoformat(as_of), settings)
    try:
        run_stage(night, stage)
    except TastefeedError as refusal:
        night.write_summary("refusal", {"stage": stage, "error": type(refusal).__name__, "message": str(refusal)})
        raise AirflowFailException(str(refusal)) from refusal
