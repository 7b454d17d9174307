"""The DAG as Airflow's own bag loads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tastefeed.pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]
TASKS = {
    "forget",
    "events",
    "sessions",
    "interactions",
    "user_features",
    "item_features",
    "retrieval_examples",
    "ranking_examples",
    "two_tower",
    "candidates",
    "reranker",
    "metrics",
    "gates",
    "release",
}
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
    "timeouts": all(task.execution_timeout for task in dag.tasks),
    "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks},
    "heavy": sorted({"torch", "pyspark", "pandas", "mlflow"} & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Parsed in a process of its own, as the scheduler's parser does."""
    import json

    home = tmp_path_factory.mktemp("airflow")
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DAGS": str(ROOT / "dags"),
        "PYTHONPATH": str(ROOT),
    }
    found = subprocess.run(
        [sys.executable, "-c", BAG], env=environment, capture_output=True, text=True, check=False, cwd=home
    )
    line = next((line for line in found.stdout.splitlines() if line.startswith("BAG ")), None)
    assert line, found.stderr[-2000:]
    return json.loads(line.removeprefix("BAG "))


def test_the_bag_loads_one_dag_without_errors(bag):
    assert bag["errors"] == {}
    assert bag["dags"] == ["nightly"]


def test_a_task_a_stage_by_the_same_names(bag):
    assert set(bag["tasks"]) == TASKS == set(STAGES)
    assert bag["outlets"] == {stage: [stage] for stage in STAGES}


def test_nothing_is_learned_before_opt_outs_are_applied(bag):
    assert bag["tasks"]["forget"] == []
    assert bag["tasks"]["events"] == ["forget"]


def test_nothing_is_released_before_the_gates(bag):
    assert bag["tasks"]["release"] == ["gates"]
    assert bag["tasks"]["gates"] == ["metrics"]


def test_the_order_of_the_stages_is_one_that_the_graph_allows(bag):
    place = {stage: number for number, stage in enumerate(STAGES)}
    assert all(place[before] < place[task] for task, upstream in bag["tasks"].items() for before in upstream)


def test_a_night_of_any_day_that_events_may_have_runs_its_tasks(bag):
    assert bag["starts"] < 1990  # an earlier day's run would have no tasks, and Airflow calls that a success


def test_tasks_are_retried_and_never_hang(bag):
    assert bag["retries"] == [2]
    assert bag["timeouts"]


def test_parsing_loads_neither_torch_nor_spark_nor_pandas(bag):
    assert bag["heavy"] == []
