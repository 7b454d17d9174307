"""The night as an Airflow DAG: one task a stage, built from the table of stages, each writing the asset of its name.

A backfill of a day, or a second run of it, overwrites the partitions of that day and nothing else. The release of an
earlier day than the one that serves does not serve, unless the parameter `publish` is set.
"""

from datetime import UTC, datetime, time, timedelta

from airflow.sdk import Asset, CronTriggerTimetable, Param, dag, task
from airflow.sdk.definitions.xcom_arg import XComArg
from contracts import Settings
from pipeline.stages import STAGES, Stage

SETTINGS = Settings()
# The day that begins where the run's data end. Not the end of the interval: in a run that a user triggers with a
# logical date, that is now. A run that an asset triggers has no logical date, but every run has `run_after`.
AS_OF = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"
LAKE, LABEL, PUBLISH = "{{ params.lake }}", "{{ params.label }}", "{{ params.publish }}"


def task_of(stage: Stage) -> XComArg:
    """One stage as a task that writes the asset of the same name."""
    asset = Asset(name=stage.name, uri=f"tastefeed://lake/{stage.name}", group="tastefeed")

    @task(task_id=stage.name, outlets=[asset], execution_timeout=timedelta(hours=stage.timeout_hours))
    def run(lake: str, as_of: str, label: str, publish: str) -> None:
        from contracts.thread_settings import use_threads

        use_threads(Settings())  # before the import that loads the numerical libraries
        from pipeline.airflow_tasks import run_task

        run_task(stage.name, lake, as_of, label, publish=publish == "True")

    return run(LAKE, AS_OF, LABEL, PUBLISH)


@dag(
    # of all timetables of Airflow, this one names a run after the day on which its data end
    schedule=CronTriggerTimetable(SETTINGS.night_schedule, timezone="UTC"),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),  # a day before it would run no task, and call that a success
    end_date=datetime.combine(SETTINGS.last_night, time.max, UTC) if SETTINGS.last_night else None,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,  # the tasks of a night lock the lake, and each of Spark has a Java of its own
    params={
        "lake": "",
        "label": "",
        "publish": Param(False, type="boolean", description="serve the release even if one of a later day serves"),
    },
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
