"""Prints, for each kind of run that Airflow can make of the DAG, the day that its tasks are given.

Run as a process of its own, with AIRFLOW_HOME in an empty folder: Airflow reads its environment when it is imported.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from airflow.api.common.trigger_dag import trigger_dag
from airflow.cli.commands.task_command import _get_template_context
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.utils.db import upgradedb
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from pendulum import instance

DAGS, BUNDLE = sys.argv[1], "dags-folder"
# a logical date belongs to one run alone
DAY, NOON, TESTED = (datetime(year, 3, 1, hour, tzinfo=UTC) for year, hour in ((2018, 0), (2018, 12), (2019, 0)))
CHOSEN = datetime(2016, 3, 20, tzinfo=UTC)


def parsed():
    """The DAG for tasks and the one of the scheduler, with the timetable of the setting in force."""
    dag = DagBag(DAGS).dags["nightly"]
    return dag, DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def as_of(dag, run: DagRun) -> str:
    """The argument of a task of a run, rendered as a worker does."""
    task = dag.get_task("forget")
    context = _get_template_context(run.get_task_instance("forget"), task)
    return task.render_template(task.op_args[1], context)


def create(scheduler_dag, kind: DagRunType, logical: datetime | None, interval: DataInterval | None, after: datetime):
    """A run as the scheduler or the API makes it."""
    return scheduler_dag.create_dagrun(
        run_id=DagRun.generate_run_id(run_type=kind, logical_date=logical, run_after=after),
        logical_date=logical,
        data_interval=interval,
        run_after=after,
        run_type=kind,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.QUEUED,
    )


def kinds() -> dict[str, object]:
    """The day of each kind of run, and the names of those that Airflow or a night makes for a day."""
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(BundleDagBag(DAGS, bundle_path=Path(DAGS), bundle_name=BUNDLE), BUNDLE, None)
    dag, scheduler_dag = parsed()
    timetable = scheduler_dag.timetable
    since = TimeRestriction(earliest=instance(datetime(2017, 2, 27, tzinfo=UTC)), latest=None, catchup=True)
    names: dict[str, str] = {}
    last, dates = None, {"timetable": type(timetable).__name__, "names": names}
    for _ in range(3):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=since)
        last = info.data_interval
        run = create(scheduler_dag, DagRunType.SCHEDULED, info.logical_date, info.data_interval, info.run_after)
        name = f"scheduled after {info.run_after:%Y-%m-%d}"
        dates[name], names[name] = as_of(dag, run), run.run_id
    info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=since)
    backfill = create(scheduler_dag, DagRunType.BACKFILL_JOB, info.logical_date, info.data_interval, info.run_after)
    names["backfill"] = backfill.run_id
    dates |= {"backfill": as_of(dag, backfill), "backfill runs after": f"{info.run_after:%Y-%m-%d}"}
    for name, logical in (("midnight", DAY), ("noon", NOON)):
        interval = timetable.infer_manual_data_interval(run_after=instance(logical))
        dates[f"manual of {name}"] = as_of(dag, create(scheduler_dag, DagRunType.MANUAL, logical, interval, logical))
    chosen = trigger_dag("nightly", triggered_by=DagRunTriggeredByType.CLI, logical_date=CHOSEN)
    dates["triggered with a date"] = as_of(dag, chosen)
    dates["manual without a date"] = as_of(dag, create(scheduler_dag, DagRunType.MANUAL, None, None, NOON))
    dates["asset"] = as_of(dag, create(scheduler_dag, DagRunType.ASSET_TRIGGERED, None, None, NOON))
    tested = dag.test(run_after=TESTED, logical_date=TESTED, mark_success_pattern=".*")
    dates["dag.test"], names["dag.test"] = as_of(dag, tested), tested.run_id
    return dates


upgradedb()
print("KINDS", json.dumps(kinds()))
