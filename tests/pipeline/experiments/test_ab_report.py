"""The report of an experiment over a lake with an exposure log and events of 400 users.

User `u<n>` had `n % 5` clicks before the first page. Afterwards they have as many and, in the arm `new`, one more.
"""

import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from cli.command_line import app
from contracts import Settings
from contracts.errors import DataMissing
from contracts.schemas import EVENTS, EXPOSURES
from pipeline.experiments.ab_report import (
    compared,
    first_pages,
    outcomes,
    pauses,
    positives,
    report_of,
    sequential_radius,
)
from pipeline.experiments.mlflow_logger import tracking_uri
from pipeline.ingestion.landing_zone import store_batch
from pipeline.lake import Lake
from serving.ab_experiment import AbExperiment
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.pseudonyms import pseudonyms
from serving.privacy.switch_store import SwitchStore
from serving.stores.sql_instants import to_micros

SERVED = datetime(2017, 2, 1, 12, tzinfo=UTC)
EXPERIMENT = AbExperiment(name="more", arms=({"name": "control"}, {"name": "new"}))
USERS = {f"u{number}": number for number in range(400)}


def event(user: str, number: int, days: float) -> dict:
    at = SERVED + timedelta(days=days)
    return {"event_id": f"{user}-{days}-{number}", "user_id": user, "item_id": "i", "action": "click", "timestamp": at}


def events(user: str, number: int) -> list[dict]:
    more = EXPERIMENT.arm_of(user).name == "new"
    before = [event(user, each, -3) for each in range(number % 5)] + [event(user, 0, -40)]
    return before + [event(user, each, 1) for each in range(number % 5 + more)]


@pytest.fixture(scope="module")
def lake(store) -> Lake:
    folder = store
    pseudonym = pseudonyms(Settings(lake=str(folder)))
    pages = [
        {"user": pseudonym(user), "experiment": "more", "arm": EXPERIMENT.arm_of(user).name, "served_at": at}
        for user in USERS
        for at in (SERVED + timedelta(hours=2), SERVED)
    ]
    both = [{**pages[0], "user": pseudonym("both"), "arm": arm} for arm in ("control", "new")]
    other = [{"user": pseudonym("other"), "experiment": "else", "arm": "control", "served_at": SERVED}]
    (folder / "exposures" / "date=2017-02-01").mkdir(parents=True)
    table = pa.Table.from_pylist([*pages, *both, *other], EXPOSURES)
    pq.write_table(table, folder / "exposures" / "date=2017-02-01" / "a.parquet")
    rows = [row for user, number in USERS.items() for row in events(user, number)]
    store_batch("events", pl.DataFrame(pa.Table.from_pylist(rows, EVENTS)), folder, SERVED + timedelta(days=9))
    return Lake(folder)


def test_the_difference_is_one_click_and_cuped_removes_what_users_did_before(lake):
    report = report_of(lake, Settings(lake=lake.root), EXPERIMENT)
    (arm,) = report.arms
    in_new = sum(EXPERIMENT.arm_of(user).name == "new" for user in USERS)
    assert (arm.users, arm.control_users, report.left_out) == (in_new, 400 - in_new, 1)
    # the clicks before explain all but the effect
    assert arm.difference == pytest.approx(1, abs=0.02)
    assert arm.low < arm.difference < arm.high
    assert arm.high - arm.low < 0.1
    assert arm.sequential_low < arm.low
    assert arm.ratio_fits
    assert arm.mean == pytest.approx(
        sum(USERS[user] % 5 + 1 for user in USERS if EXPERIMENT.arm_of(user).name == "new") / in_new
    )


def test_the_time_in_which_no_user_had_an_arm_does_not_count(lake, tmp_path):
    settings = Settings(lake=str(shutil.copytree(lake.root, tmp_path / "lake")))
    store = OptOutStore.of(settings)
    store.create()
    switches = SwitchStore(store)
    changes = [  # hours after the first page
        (-1, partial(switches.set, "pinned_release", "2017-02-01-a")),
        (0, partial(switches.set, "pinned_release", "2017-02-01-b")),  # the release is another one, the pause goes on
        (1, partial(switches.clear, "pinned_release")),
        (2, partial(switches.clear, "pinned_release")),
        (23, partial(switches.set, "personalization", None)),
    ]
    for hours, change in changes:
        change(by="test")
        with sqlite3.connect(tmp_path / "lake" / "opt_outs.db") as database:
            at = to_micros(SERVED + timedelta(hours=hours))
            database.execute("UPDATE admin_audit SET at = ? WHERE number = (SELECT max(number) FROM admin_audit)", [at])
    assert pauses(settings) == [
        (SERVED - timedelta(hours=1), SERVED + timedelta(hours=1)), (SERVED + timedelta(hours=23), None)
    ]  # fmt: skip
    first = first_pages(lake, "more", pauses(settings))
    assert set(first["served_at"]) == {SERVED + timedelta(hours=2)}
    with pytest.raises(DataMissing, match="all users have as many clicks and saves"):  # they clicked a day later
        report_of(Lake(settings.lake), settings, EXPERIMENT)


def test_numbers_of_users_that_do_not_fit_the_weights_are_reported(lake):
    weights = tuple(arm.model_copy(update={"weight": 1 + 2 * place}) for place, arm in enumerate(EXPERIMENT.arms))
    report = report_of(lake, Settings(lake=lake.root), EXPERIMENT.model_copy(update={"arms": weights}))
    assert not report.arms[0].ratio_fits
    assert "do not fit the weights" in "\n".join(report.lines())


def test_the_sequential_interval_seldom_excludes_zero_without_an_effect_however_often_one_looks():
    """A single look's interval, 1.96 standard errors, excludes it in a third of these experiments at some look."""
    looks = np.arange(100, 5001, 100)  # users of each arm
    clicks = np.random.default_rng(0).poisson(1, (200, 2, 5000)).astype(float)
    means = clicks.cumsum(axis=2)[..., looks - 1] / looks
    squares = (clicks**2).cumsum(axis=2)[..., looks - 1] / looks
    errors = np.sqrt((squares - means**2).sum(axis=1) / looks)
    differences = np.abs(means[:, 1] - means[:, 0])
    radii = errors * np.array([sequential_radius(1, 2 * int(users)) for users in looks])
    assert (differences > radii).any(axis=1).mean() <= 0.05
    assert (differences > 1.96 * errors).any(axis=1).mean() > 0.2


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_the_command_prints_the_report_and_logs_it_to_mlflow(lake, tmp_path):
    (tmp_path / "experiment.json").write_text(EXPERIMENT.model_dump_json())
    words = ["experiment", "report", str(tmp_path / "experiment.json"), "--lake", lake.root, "--json"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    printed = json.loads(run.stdout)
    client = MlflowClient(tracking_uri(Settings(lake=lake.root), lake))
    metrics = client.get_run(printed["mlflow_run"]).data.metrics
    described = client.get_run(printed["mlflow_run"]).data.tags["mlflow.note.content"]
    assert described.startswith("more: clicks and saves a user, 2 arms\n\nnew: mean ")
    assert metrics["new.difference"] == pytest.approx(printed["arms"][0]["difference"])


def test_users_without_a_click_cannot_be_compared_yet(lake):
    users = outcomes(first_pages(lake, "more"), positives(lake, str).clear(), 28)
    with pytest.raises(DataMissing, match="'new' cannot be compared with 'control' yet"):
        compared(users, "control", "new", {"control": 1, "new": 1})


def test_a_lake_without_pages_of_the_experiment(lake, tmp_path):
    with pytest.raises(DataMissing, match="there is no exposure log"):
        report_of(Lake(tmp_path), Settings(lake=str(tmp_path)), EXPERIMENT)
    with pytest.raises(DataMissing, match="no users of 'control' and another arm of 'absent'"):
        report_of(lake, Settings(lake=lake.root), EXPERIMENT.model_copy(update={"name": "absent"}))
