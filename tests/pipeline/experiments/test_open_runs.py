"""A run in MLflow whose process was stopped, killed or refused does not stay RUNNING."""

from datetime import date
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from contracts.errors import TooManyBadRows
from pipeline import airflow_tasks
from pipeline.airflow_tasks import run_task
from pipeline.experiments.night_run import open_parent_run
from pipeline.experiments.open_runs import end_abandoned, ended_with_block
from pipeline.run_context import RunContext, open_run_context
from pipeline.stages.forget import forget

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")
DAY = date(2017, 3, 5)


@pytest.fixture
def night(store: Path) -> RunContext:
    return open_run_context(str(store), DAY)


def status(night: RunContext, run: str) -> str:
    return str(night.mlflow.client.get_run(run).info.status)


def test_the_next_night_ends_the_runs_of_a_killed_one(night: RunContext) -> None:
    killed = open_parent_run(night, "night 2017-03-04")
    child, ended = night.mlflow.start("retrieval", killed), night.mlflow.start("ranking", killed)
    night.mlflow.end(ended)
    finished = open_parent_run(night, "night 2017-03-03")
    of_a_killed_try = night.mlflow.start("retrieval", finished)
    night.mlflow.end(finished)
    opened = forget(night)["mlflow_run"]
    statuses = [status(night, run) for run in (killed, child, ended, finished, of_a_killed_try, opened)]
    assert statuses == ["KILLED", "KILLED", "FINISHED", "FINISHED", "KILLED", "RUNNING"]


def test_a_backtest_that_still_works_keeps_its_run_until_it_is_killed(night: RunContext) -> None:
    with night.home.scratch() as scratch:
        backtest = RunContext(night.home, scratch, night.splits, night.settings, night.config)
        run = open_parent_run(backtest, "backtest")
        end_abandoned(night)
        assert status(night, run) == "RUNNING"
    end_abandoned(night)
    assert status(night, run) == "KILLED"


def test_a_run_that_was_deleted_in_mlflow_stops_no_night(night: RunContext) -> None:
    (night.home.folder / ".open_runs").mkdir(exist_ok=True)
    (night.home.folder / ".open_runs" / ("0" * 32)).write_text("")
    end_abandoned(night)
    assert not list((night.home.folder / ".open_runs").iterdir())


def test_the_run_of_a_refused_night_has_failed(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_parent_run(night, "night 2017-03-05")
    night.write_summary("forget", {"mlflow_run": run})

    def refuse(night: RunContext, name: str) -> None:
        raise TooManyBadRows("9 of 10 rows are bad")

    monkeypatch.setattr(airflow_tasks, "run_stage", refuse)
    with pytest.raises(AirflowFailException):
        run_task("events", str(night.home.folder), DAY.isoformat())
    assert status(night, run) == "FAILED"


def test_a_run_ends_with_its_block(night: RunContext) -> None:
    done, failed = night.mlflow.start("done"), night.mlflow.start("failed")
    with ended_with_block(night.mlflow, done):
        pass
    with pytest.raises(ZeroDivisionError), ended_with_block(night.mlflow, failed):
        _ = 1 / 0
    assert (status(night, done), status(night, failed)) == ("FINISHED", "FAILED")
