"""The same budget for each method, every trial written down, and a search that goes on where it stopped."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from benchmarks.datasets import load
from benchmarks.tuning import Search, search_log, tune, validated
from contracts.errors import PeerFailed


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Thirty users who like seven of nine items one after another, two trials."""
    (tmp_path / "ml-1m").mkdir()
    rows = [(user, (user + step) % 9, step + 1) for user in range(30) for step in range(7)]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "time_pos"], orient="row")
    table.write_parquet(tmp_path / "ml-1m" / "interactions.parquet")
    return Search(load(tmp_path, "ml-1m", seed=7), trials=2, seed=7, threads=1, out=tmp_path / "out")


def test_the_first_trial_is_the_defaults_and_the_best_is_kept(search: Search) -> None:
    tuned = tune("ease", {}, search)
    log = search_log(search.out)
    assert log["trial"].to_list() == [0, 1]
    assert json.loads(log["config"][0]) == {"regularization": 500.0, "most_items": 20_000}
    assert tuned.value == log["value"].max()
    measured, _ = validated("ease", tuned.params, search)
    assert measured.means["ndcg_at_10"] == tuned.value


def test_a_search_goes_on_where_it_stopped_and_never_past_its_budget(search: Search) -> None:
    assert tune("ease", {}, replace(search, trials=1)).trials == 1
    assert tune("ease", {}, search).trials == 2
    assert tune("ease", {}, search).trials == 2
    assert search_log(search.out).height == 2


def test_fewer_trials_than_were_done_are_the_first_ones(search: Search) -> None:
    tune("ease", {}, replace(search, trials=3))
    tuned = tune("ease", {}, search)
    assert list(tuned.values) == search_log(search.out)["value"].to_list()[:2]


def test_other_rows_are_another_search(search: Search) -> None:
    tune("ease", {}, search)
    other = replace(search, split=replace(search.split, validation_train=search.split.validation_train[1:]))
    assert tune("ease", {}, other).trials == 2
    log = search_log(search.out)
    assert (log["study"].n_unique(), log.height) == (2, 4)


def test_a_trial_that_fails_is_one_of_the_budget(search: Search) -> None:
    """BPR with steps so large that its vectors overflow."""
    with pytest.raises(PeerFailed, match="bpr: none of its 2 trials came to an end"):
        tune("bpr", {"learning_rate": "1e30"}, search)
    assert search_log(search.out)["state"].to_list() == ["fail", "fail"]


def test_a_fixed_field_is_never_searched_and_has_a_study_of_its_own(search: Search) -> None:
    tuned = tune("ease", {"regularization": "3"}, search)
    assert tuned.params == {"regularization": "3"}
    tune("ease", {}, search)
    assert search_log(search.out)["study"].n_unique() == 2


def test_a_method_without_settings_is_not_tried(search: Search) -> None:
    assert tune("most_popular", {}, search).trials == 0
    assert not search.out.exists()


def test_no_trials_means_the_defaults_and_no_study(search: Search) -> None:
    tuned = tune("ease", {}, replace(search, trials=0))
    assert (tuned.params, tuned.value) == ({}, None)
    assert not search.out.exists()
