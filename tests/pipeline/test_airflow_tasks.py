"""Which errors of a stage Airflow retries, and what is left of the others for the console."""

import errno
from datetime import date
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException
from mlflow.exceptions import MlflowException

from contracts.errors import TooManyBadRows
from pipeline import airflow_tasks
from pipeline.airflow_tasks import run_task
from pipeline.run_context import open_run_context

# Airflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")
DAY = "2017-03-05"


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run_stage(night, name):
        raise error

    monkeypatch.setattr(airflow_tasks, "run_stage", run_stage)


def refusal(lake: Path) -> dict:
    return open_run_context(str(lake), date.fromisoformat(DAY)).summary("refusal")


def test_a_task_runs_its_stage_on_the_lake_and_day_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(airflow_tasks, "run_stage", lambda night, name: ran.append((night, name)))
    run_task("events", str(tmp_path), DAY)
    monkeypatch.setenv("TASTEFEED_LAKE", str(tmp_path / "of-settings"))
    run_task("events", "", DAY)
    lakes = [night.settings.lake for night, _ in ran]
    assert lakes == [str(tmp_path), str(tmp_path / "of-settings")]
    assert {(night.splits.as_of.isoformat(), name) for night, name in ran} == {(DAY, "events")}


def test_a_refusal_is_final_and_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TooManyBadRows("9 of 10 rows are bad"))
    with pytest.raises(AirflowFailException, match="9 of 10 rows are bad"):
        run_task("events", str(tmp_path), DAY)
    assert refusal(tmp_path) == {"stage": "events", "error": "TooManyBadRows", "message": "9 of 10 rows are bad"}


def test_an_unknown_setting_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_HOLDOUT_DAY", "3")
    with pytest.raises(AirflowFailException, match="did you mean TASTEFEED_HOLDOUT_DAYS"):
        run_task("events", str(tmp_path), DAY)


def test_a_setting_out_of_its_range_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_GATES__MIN_USERS", "1")
    with pytest.raises(
        AirflowFailException, match=r"gates\.min_users: Input should be greater than or equal to 2; see"
    ):
        run_task("events", str(tmp_path), DAY)


def test_a_setting_that_cannot_be_read_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_GATES__MUST_BEAT", "hush")
    with pytest.raises(AirflowFailException, match="no JSON in TASTEFEED_GATES__MUST_BEAT: lists") as final:
        run_task("events", str(tmp_path), DAY)
    assert final.value.__cause__ is None


def test_a_full_disk_is_final_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/lake/events"))
    with pytest.raises(AirflowFailException, match="No space left"):
        run_task("events", str(tmp_path), DAY)
    assert "\n" not in refusal(tmp_path)["message"]


def test_a_full_disk_that_mlflow_finds_is_final_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(
        monkeypatch, MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO params]")
    )
    with pytest.raises(AirflowFailException, match="database or disk is full; free some space there"):
        run_task("events", str(tmp_path), DAY)
    assert "\n" not in refusal(tmp_path)["message"]


def test_other_errors_are_left_to_airflow_to_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError(errno.ETIMEDOUT, "timed out"), ValueError("a fault of ours")):
        failing(monkeypatch, error)
        with pytest.raises(type(error)):
            run_task("events", str(tmp_path), DAY)
    assert refusal(tmp_path) == {}
