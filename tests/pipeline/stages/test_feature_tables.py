"""Each table of features on a lake written by hand, one after the other as a night computes them."""

import polars as pl
import pytest

from contracts.schemas import DERIVED, EVENTS
from pipeline.run_context import RunContext
from pipeline.stages.feature_tables import FEATURE_TABLES, write_feature_table
from tests.pipeline.handmade_lake import CUTOFF, DAY, handmade, hours, whole

# Spark warns about its own dependencies
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory, spark: object) -> tuple[RunContext, dict[str, dict]]:
    """A night in which `u2` opted out of training, with the summary of each table."""
    night = handmade(tmp_path_factory.mktemp("lake"))
    shown = [
        {"event_id": user, "user_id": user, "item_id": "c", "action": "impression", "timestamp": hours(8)}
        for user in ("u1", "u2")
    ]
    night.overwrite("events", pl.concat([rows(night, "events"), whole(shown, EVENTS)]))
    night.opt_outs.set("user", "u2", "training")
    return night, {name: write_feature_table(night, name) for name in FEATURE_TABLES}


def rows(night: RunContext, table: str):
    return night.lake.scan(table, DAY).collect()


def test_every_table_has_the_columns_of_its_schema(summaries) -> None:
    night, _ = summaries
    for table in FEATURE_TABLES:
        assert rows(night, table).columns == DERIVED[table].names, table


def test_every_summary_counts_its_table(summaries) -> None:
    night, counted = summaries
    for table in set(FEATURE_TABLES) - {"sessions"}:
        assert counted[table]["rows"] == len(rows(night, table)) > 0, table
    assert counted["interactions"]["cutoffs"] == len(night.splits.cutoffs) == 3
    sessions = rows(night, "sessions").select("user_id", "session_id").n_unique()
    assert counted["sessions"] == {"sessions": sessions}


def test_every_cutoff_has_only_what_came_before_it(summaries) -> None:
    night, _ = summaries
    interactions = rows(night, "interactions")
    assert set(interactions["cut"]) <= set(night.splits.cutoffs)
    assert (interactions["last_at"] < interactions["cut"]).all()
    before = interactions.filter(cut=CUTOFF).select("user_id", "item_id").rows()
    assert set(before) == {("u1", "a"), ("u1", "b"), ("u2", "b"), ("u2", "a"), ("u3", "c")}


def test_a_user_that_opted_out_of_training_trains_nothing_and_keeps_a_vector(summaries) -> None:
    night, _ = summaries
    assert "u2" in set(rows(night, "user_features")["user_id"])
    assert "u2" not in set(rows(night, "ranking_examples")["user_id"])
    examples = rows(night, "retrieval_examples").filter(cut=CUTOFF)
    assert dict(examples.select("user_id", "trainable").rows()) == {"u1": True, "u2": False}
    features = rows(night, "item_features").filter(cut=CUTOFF)
    assert dict(features.select("item_id", "users").rows())["b"] == 1, "u2's click on b is not counted"


def test_labels_are_those_of_the_week_after_a_cutoff(summaries) -> None:
    night, _ = summaries
    labels = rows(night, "ranking_examples").filter(cut=CUTOFF).select("user_id", "item_id", "label").rows()
    assert sorted(labels) == [("u1", "d", 2), ("u3", "d", 1)], "u2 opted out of training"


def test_an_impression_trains_unless_its_user_opted_out(summaries) -> None:
    night, _ = summaries
    assert rows(night, "ranking_impressions").rows() == [(CUTOFF, "u1", "c", 1, None, 1.0)]


def test_a_second_run_replaces_the_table(summaries) -> None:
    night, counted = summaries
    assert write_feature_table(night, "sessions") == counted["sessions"]
    assert rows(night, "sessions").height == 10 + 2
