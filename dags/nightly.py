"""The night as an Airflow DAG: one task a stage, built from the table of stages, each writing the asset of its name.

A backfill of a day, or a second run of it, overwrites the partitions of that day and nothing else.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, dag, task
from airflow.sdk.definitions.xcom_arg import XComArg
from pipeline.stages import STAGES, Stage

# The day that begins where the run's data end. A timetable of intervals has its logical date at their start. A run that
# an asset or a user triggers may have neither interval nor logical date, but every run has `run_after`.
AS_OF = "{{ (dag_run.data_interval_end or dag_run.run_after) | ds }}"
LAKE = "{{ params.lake }}"


def task_of(stage: Stage) -> XComArg:
    """One stage as a task that writes the asset of the same name."""
    asset = Asset(name=stage.name, uri=f"tastefeed://lake/{stage.name}", group="tastefeed")

    @task(task_id=stage.name, outlets=[asset], execution_timeout=timedelta(hours=stage.timeout_hours))
    def run(lake: str, as_of: str) -> None:
        from pipeline.airflow_tasks import run_task

        run_task(stage.name, lake, as_of)

    return run(LAKE, AS_OF)


@dag(
    schedule="@daily",
    start_date=datetime(1970, 1, 1, tzinfo=UTC),  # a day before it would run no task, and call that a success
    catchup=False,
    max_active_runs=1,
    params={"lake": ""},
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
    },
    tags=["tastefeed"],
)
def nightly() -> None:
    """Every stage runs after those that its row of the table names."""
    tasks = {name: task_of(stage) for name, stage in STAGES.items()}
    for name, stage in STAGES.items():
        tasks[name].set_upstream([tasks[before] for before in stage.upstream])


nightly_dag = nightly()
