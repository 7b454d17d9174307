"""The night: what people did until midnight becomes a release that the home feed serves.

A backfill of a day, or a second run of it, overwrites that day's partitions and nothing else.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import chain, dag, task
from airflow.sdk.definitions.xcom_arg import XComArg

from dags.assets import ASSETS

# The day that begins where the run's data end. A timetable of intervals has its logical date at their start; a run that
# an asset or a person triggers may have neither interval nor logical date; every run has `run_after`.
AS_OF = "{{ (dag_run.data_interval_end or dag_run.run_after) | ds }}"
LAKE = "{{ params.lake }}"
HOURS = {"two_tower": 6, "reranker": 2}


def stage(name: str) -> XComArg:
    """One stage of the night as a task that writes the asset of the same name."""

    @task(task_id=name, outlets=[ASSETS[name]], execution_timeout=timedelta(hours=HOURS.get(name, 1)))
    def run(lake: str, as_of: str) -> None:
        from pipeline.airflow_tasks import run_task

        run_task(name, lake, as_of)

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
    """Forget, read, learn, measure, gate, publish."""
    made = {name: stage(name) for name in ASSETS}
    chain(made["forget"], made["events"], made["sessions"], made["interactions"])
    chain(made["interactions"], [made["user_features"], made["item_features"]], made["candidates"])
    chain(made["sessions"], made["retrieval_examples"], made["two_tower"], made["candidates"])
    chain(made["sessions"], made["ranking_examples"], made["candidates"])
    chain(made["candidates"], made["reranker"], made["metrics"], made["gates"], made["release"])


nightly_dag = nightly()
