"""The benchmark of features runs the stages of a night on synthetic events, and reports what each took."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from benchmarks.feature_benchmark import PAGE, STAGES
from benchmarks.synthetic_events import EventsSize, synthetic_events, synthetic_items
from cli.command_line import app
from contracts import columns as c
from contracts.schemas import EVENTS, ITEMS

SIZE = EventsSize(events=20_000, users=1_000, items=200, days=70)


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_every_stage_that_computes_features_is_measured(tmp_path: Path):
    flags = "bench features --events 3000 --events 1000 --users 100 --items 50 --days 70 --out"
    done = CliRunner().invoke(app, [*flags.split(), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert [size["events"] for size in written["sizes"]] == [1000, 3000]
    stages = {stage["stage"]: stage for stage in written["sizes"][1]["stages"]}
    assert tuple(stages) == STAGES
    assert stages["events"]["rows"] == stages["sessions"]["rows"] == 3000
    assert all(stage["rows"] > 0 and stage["cpu_seconds"] > 0 for stage in stages.values())
    page = (tmp_path / "out" / PAGE).read_text()
    assert "3,000 events, 100 users, 50 items, 70 days" in page
    assert str(tmp_path) not in page
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [PAGE, "metrics.json"]


def test_the_events_are_those_of_the_seed_and_have_the_size_s_users_items_and_days():
    events = synthetic_events(SIZE, seed=7)
    assert events.equals(synthetic_events(SIZE, seed=7))
    assert not events.equals(synthetic_events(SIZE, seed=8))
    assert dict(events.schema) == {name: pl.Schema(EVENTS)[name] for name in events.columns}
    assert events[c.EVENT_ID].n_unique() == SIZE.events
    assert set(events[c.USER_ID].cast(int)) <= set(range(SIZE.users))
    span = events.select(low=pl.col(c.TIMESTAMP).min(), high=pl.col(c.TIMESTAMP).max()).row(0)
    assert SIZE.begin <= span[0]
    assert (span[1] - SIZE.begin).days < SIZE.days


def test_a_few_items_have_most_events_and_each_is_in_the_catalogue():
    events, items = synthetic_events(SIZE, seed=7), synthetic_items(SIZE)
    assert dict(items.schema) == {name: pl.Schema(ITEMS)[name] for name in items.columns}
    assert set(events[c.ITEM_ID]) <= set(items[c.ITEM_ID])
    counts = events[c.ITEM_ID].value_counts(sort=True)["count"]
    assert 0.4 < counts[: SIZE.items // 10].sum() / SIZE.events < 0.55
