"""The DAG as Airflow's own bag loads it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.stages import STAGE_NAMES

ROOT = Path(__file__).parents[2]
UPSTREAM = {
    "forget": [],
    "events": ["forget"],
    "sessions": ["events"],
    "interactions": ["sessions"],
    "user_features": ["interactions"],
    "item_features": ["interactions"],
    "retrieval_examples": ["sessions"],
    "ranking_examples": ["sessions"],
    "ranking_impressions": ["sessions"],
    "two_tower": ["retrieval_examples"],
    "candidates": ["item_features", "ranking_examples", "two_tower", "user_features"],
    "reranker": ["candidates", "ranking_impressions"],
    "metrics": ["reranker"],
    "gates": ["metrics"],
    "release": ["gates"],
}
"""Every task with the tasks that it waits for."""
BAG = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(os.environ["DAGS"])
dag = bag.dags.get("nightly")
print("BAG", json.dumps({
    "errors": bag.import_errors,
    "dags": sorted(bag.dags),
    "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
    "retries": sorted({task.retries for task in dag.tasks}),
    "starts": dag.start_date.year,
    "ends": str(dag.end_date.date()),
    "active": [dag.max_active_runs, dag.max_active_tasks],
    "hours": {task.task_id: task.execution_timeout.total_seconds() / 3600 for task in dag.tasks},
    "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks},
    "params": dict(dag.params),
    "arguments": list(dag.get_task("release").op_args),
    "heavy": sorted({"torch", "pyspark", "pandas", "mlflow"} & set(sys.modules)),
}))
"""


def documented_dag_file() -> str:
    """The file for an existing Airflow."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "airflow.md").read_text(), re.DOTALL)
    assert block
    return dedent(block[1])


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Parsed in a process of its own, as the scheduler's parser does, from the file that the documentation gives."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "folder-of-dags"
    dags.mkdir()
    (dags / "tastefeed_nightly.py").write_text(documented_dag_file())
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DAGS": str(dags),
        "TASTEFEED_LAST_NIGHT": "2017-03-01",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", BAG], env=environment, capture_output=True, text=True, check=False, cwd=home
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("BAG ")), None)
    assert line, done.stderr[-2000:]
    return json.loads(line.removeprefix("BAG "))


def test_the_bag_loads_one_dag_without_errors(bag):
    assert bag["errors"] == {}
    assert bag["dags"] == ["nightly"]


def test_one_task_a_stage_and_the_dependencies_of_its_row(bag):
    assert list(UPSTREAM) == list(STAGE_NAMES)
    assert bag["tasks"] == UPSTREAM
    assert bag["outlets"] == {stage: [stage] for stage in STAGE_NAMES}


def test_no_stage_reads_events_before_opt_outs_are_applied(bag):
    assert bag["tasks"]["forget"] == []
    assert bag["tasks"]["events"] == ["forget"]


def test_nothing_is_released_before_the_gates(bag):
    assert bag["tasks"]["release"] == ["gates"]
    assert bag["tasks"]["gates"] == ["metrics"]


def test_the_order_of_the_stages_is_one_that_the_graph_allows(bag):
    place = {stage: number for number, stage in enumerate(STAGE_NAMES)}
    assert all(place[before] < place[task] for task, upstream in bag["tasks"].items() for before in upstream)


def test_a_night_of_any_day_that_events_may_have_runs_its_tasks(bag):
    assert bag["starts"] < 1990  # an earlier day's run would have no tasks, and Airflow calls that a success


def test_tasks_are_retried_and_never_hang(bag):
    assert bag["retries"] == [2]
    assert bag["hours"] == dict.fromkeys(STAGE_NAMES, 1) | {"two_tower": 6, "reranker": 2}


def test_the_schedule_ends_with_the_last_night_of_the_settings(bag):
    assert bag["ends"] == "2017-03-01"


def test_one_run_and_one_task_at_a_time(bag):
    assert bag["active"] == [1, 1]


def test_a_run_may_ask_to_publish_an_earlier_day(bag):
    assert bag["params"] == {"lake": "", "label": "", "publish": False}
    assert bag["arguments"][3] == "{{ params.publish }}"


def test_parsing_loads_neither_torch_nor_spark_nor_pandas(bag):
    assert bag["heavy"] == []


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The day that each kind of run hands to its tasks, where Airflow is set to prefer intervals of data."""
    home = tmp_path_factory.mktemp("runs")
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS": "True",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(Path(__file__).with_name("kinds_of_run.py")), str(ROOT / "dags")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=home)
    line = next((line for line in done.stdout.splitlines() if line.startswith("KINDS ")), None)
    assert line, done.stderr[-2000:]
    return json.loads(line.removeprefix("KINDS "))


def test_a_run_is_named_after_the_day_on_which_its_data_end(days):
    assert days["timetable"] == "CronTriggerTimetable"
    assert len(days["names"]) == 5
    assert [name for name, run in days["names"].items() if f"__{days[name]}T00:00:00" not in run] == []


def test_a_scheduled_night_is_of_the_day_that_it_runs_after(days):
    scheduled = {
        name.removeprefix("scheduled after "): day for name, day in days.items() if name.startswith("scheduled")
    }
    assert len(scheduled) == 3
    assert all(day == after for after, day in scheduled.items())
    assert days["backfill"] == days["backfill runs after"]


def test_every_other_run_is_of_the_last_midnight_before_it(days):
    assert days["manual of midnight"] == "2018-03-01"
    assert days["manual of noon"] == "2018-03-01"
    assert days["triggered with a date"] == "2016-03-20"
    assert days["manual without a date"] == "2018-03-01"
    assert days["asset"] == "2018-03-01"
    assert days["dag.test"] == "2019-03-01"
