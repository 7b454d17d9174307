"""The context of a run: where it reads and writes, and the summaries of its stages."""

import json
import math
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts import Settings
from contracts.errors import MissingPartition
from pipeline.run_context import RunContext, open_run_context

DAY = date(2017, 3, 5)


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return open_run_context(str(tmp_path), DAY, Settings(label_weeks=2))


def test_a_night_reads_and_writes_one_lake_with_the_settings_of_the_caller(night: RunContext, tmp_path: Path) -> None:
    assert night.home is night.lake
    assert (night.settings.lake, night.splits.label_weeks) == (str(tmp_path), 2)
    assert night.splits.eval_cutoffs == (datetime(2017, 2, 26, tzinfo=UTC),)
    assert night.releases == tmp_path / "releases"


def test_the_settings_of_the_environment_hold_where_none_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEFEED_HOLDOUT_DAYS", "3")
    monkeypatch.setenv("TASTEFEED_TWO_TOWER__EPOCHS", "5")
    night = open_run_context(str(tmp_path), DAY)
    assert (night.splits.label_days, night.config.two_tower.epochs) == (3, 5)


def test_the_seed_reaches_the_re_ranker_and_the_gates_unless_they_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEFEED_SEED", "11")
    monkeypatch.setenv("TASTEFEED_GATES__SEED", "5")
    config = open_run_context(str(tmp_path), DAY).config
    assert (config.ranking.reranker.seed, config.gates.seed) == (11, 5)


def test_opening_a_context_writes_nothing(night: RunContext, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []


def test_a_summary_is_read_back_and_replaced(night: RunContext) -> None:
    assert night.summary("events") == {}
    night.write_summary("events", {"kept": 3, "day": DAY})
    night.write_summary("events", {"kept": 4})
    assert night.summary("events") == {"kept": 4}
    night.clear_summary("events")
    assert night.summary("events") == {}


def test_what_json_lacks_is_written_as_text(night: RunContext) -> None:
    night.write_summary("events", {"day": DAY})
    assert night.summary("events") == {"day": "2017-03-05"}


def test_a_figure_of_an_empty_held_out_week_is_null(night: RunContext) -> None:
    night.write_summary("metrics", {"ndcg_at_20": math.nan, "table": [{"ndcg_at_20": np.float64("nan"), "users": 0}]})
    assert night.summary("metrics") == {"ndcg_at_20": None, "table": [{"ndcg_at_20": None, "users": 0}]}


def test_summaries_belong_to_one_day(night: RunContext, tmp_path: Path) -> None:
    night.write_summary("events", {"kept": 3})
    other = open_run_context(str(tmp_path), date(2017, 3, 6), night.settings)
    assert other.summary("events") == {}
    other.clear_summaries()
    assert night.summary("events") == {"kept": 3}
    night.clear_summaries()
    night.clear_summaries()
    assert night.summary("events") == {}


def test_the_summaries_are_json_files_of_the_lake(night: RunContext, tmp_path: Path) -> None:
    night.write_summary("gates", {"passed": "True"})
    written = tmp_path / "nights" / "as_of=2017-03-05" / "gates.json"
    assert json.loads(written.read_text()) == {"passed": "True"}


def test_the_parent_run_is_the_one_that_the_first_stage_opened(night: RunContext) -> None:
    night.write_summary("forget", {"mlflow_run": "abc"})
    assert night.mlflow_run == "abc"


def test_a_table_is_counted_by_its_partition(night: RunContext) -> None:
    with pytest.raises(MissingPartition, match="run the night of that day first"):
        night.count("numbers")
    night.overwrite("numbers", pl.DataFrame({"n": [1, 2, 3]}))
    assert night.count("numbers") == 3


def test_which_users_are_read_and_which_train_follows_the_flags(night: RunContext, spark: object) -> None:
    night.opt_outs.create()
    for user, flag in (("erased", "erasure"), ("private", "personalization"), ("silent", "training")):
        night.opt_outs.set("user", user, flag)

    def ids(frame) -> list[str]:
        return sorted(row.user_id for row in frame.collect())

    assert ids(night.unreadable_users()) == ["erased", "private"]
    assert ids(night.untrainable_users()) == ["erased", "private", "silent"]
