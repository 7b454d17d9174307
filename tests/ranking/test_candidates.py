import numpy as np
import pytest

from contracts.switches import CANDIDATE_SOURCES
from ranking import candidates
from ranking.candidates import (
    CandidateConfig,
    distinct_items,
    fresh_rows,
    largest,
    popular_of,
    popular_rows,
    taken,
    union_candidates,
)
from ranking.feature_arrays import SOURCES
from ranking.feature_names import PAIR_FEATURE_NAMES
from ranking.signals import signal_of
from tests.ranking.worlds import ANN, HIDER, NEWCOMER, items, users

NONE = np.zeros(0, np.int32)


def union(user_rows, neighbours, fresh=NONE, popular=NONE, hidden=None):
    return union_candidates(
        users(),
        items(),
        np.array(user_rows, np.int32),
        neighbours=np.asarray(neighbours, np.int32),
        fresh=np.asarray(fresh, np.int32),
        popular=np.asarray(popular, np.int32),
        excluded=hidden,
    )


def test_a_pair_of_many_sources_is_one_candidate_with_all_its_sources():
    candidates_ = union([NEWCOMER], [[4, 1]], fresh=[3, 1], popular=[1])
    assert candidates_.item_rows.tolist() == [1, 3, 4]
    assert candidates_.sources.tolist() == [0b111, 0b010, 0b001]
    assert SOURCES == ("two_tower", "fresh", "popular")


def test_each_source_has_a_kill_switch_and_a_feature_with_a_signal():
    assert set(SOURCES) == CANDIDATE_SOURCES
    assert {f"from_{source}" for source in SOURCES} <= set(PAIR_FEATURE_NAMES)
    assert all(signal_of(f"from_{source}") for source in SOURCES)


def test_without_all_sources_no_size_is_left():
    sizes = CandidateConfig().without(frozenset(SOURCES)).model_dump(exclude={"popular_days"})
    assert set(sizes.values()) == {0}


def test_history_is_left_out_whatever_source_brings_it():
    candidates_ = union([ANN, HIDER], [[0, 4], [1, 0]], fresh=[2], popular=[1])
    assert list(zip(candidates_.user_rows.tolist(), candidates_.item_rows.tolist(), strict=True)) == [
        (ANN, 1),
        (ANN, 4),
        (HIDER, 0),
        (HIDER, 2),
    ]


def test_scores_are_dots_for_every_source():
    candidates_ = union([ANN], [[4]], fresh=[3])  # ann (1, 2): unsigned (2, 1) is 4, undated (1, 1) is 3
    assert candidates_.retrieval_scores.tolist() == [4, 3]


def test_scores_do_not_depend_on_the_size_of_chunks(monkeypatch):
    user_rows, item_rows = np.array([ANN, HIDER, ANN, NEWCOMER]), np.array([0, 2, 3, 4])
    whole = candidates.retrieval_scores(users(), items(), user_rows, item_rows)
    monkeypatch.setattr(candidates, "CHUNK_CELLS", 1)
    assert (
        candidates.retrieval_scores(users(), items(), user_rows, item_rows).tolist() == whole.tolist() == [1, 2, 4, 1]
    )


def test_neighbours_that_an_index_lacked_are_no_items():
    assert union([NEWCOMER], [[-1, 2]]).item_rows.tolist() == [2]


def test_hidden_for_all_users_or_for_one():
    of_all = np.array([False, False, False, True, False])
    assert union([NEWCOMER], [[3, 4]], hidden=of_all).item_rows.tolist() == [4]
    of_one = np.zeros((2, 5), bool)
    of_one[0, 4] = True
    candidates_ = union([NEWCOMER, HIDER], [[4], [4]], hidden=of_one)
    assert candidates_.user_rows.tolist() == [HIDER]


def test_no_users_or_no_sources_give_no_candidates():
    assert len(union([], np.zeros((0, 3)), fresh=[1]).item_rows) == 0
    assert len(union([ANN], np.zeros((1, 0))).item_rows) == 0


def test_users_stay_in_the_order_of_the_request():
    assert union([NEWCOMER, ANN], [[1], [1]]).user_rows.tolist() == [NEWCOMER, ANN]


def test_fresh_is_newest_first_without_undated_items():
    assert fresh_rows(items(), 3).tolist() == [3, 2, 1]
    assert fresh_rows(items(), 99).tolist() == [3, 2, 1, 0]


def test_popular_is_most_users_first_without_unseen_items():
    assert popular_rows(items(), 2, 7).tolist() == [2, 3]
    assert popular_rows(items(), 99, 7).tolist() == [2, 3, 1]
    assert popular_rows(items(), 2, None).tolist() == [2, 0]  # 26 and 4 users ever interacted with them


def test_popular_of_all_windows_is_each_item_once():
    assert popular_of(items(), CandidateConfig(popular=1, popular_days=(1, 7), popular_ever=0)).tolist() == [2]
    assert popular_of(items(), CandidateConfig(popular=1, popular_days=(1, 7), popular_ever=2)).tolist() == [0, 2]
    assert popular_of(items(), CandidateConfig(popular_days=(), popular_ever=0)).tolist() == []


@pytest.mark.parametrize("count", [0, 1, 7, 20, 99])
def test_the_largest_are_those_of_a_stable_sort(count):
    values = np.random.default_rng(7).integers(0, 6, 20).astype(np.float32)
    assert largest(values, count).tolist() == np.argsort(-values, kind="stable")[:count].tolist()


def test_an_unknown_window_names_the_known_ones():
    with pytest.raises(ValueError, match="no popularity over 3 days is kept; use one of 1, 7, 28"):
        popular_rows(items(), 5, 3)


@pytest.mark.parametrize("item_count", [10, 10_000])
def test_distinct_items_are_the_same_of_a_few_items_and_of_many(item_count):
    rows, places = distinct_items(np.array([7, 2, 7, 5], np.int32), item_count)
    assert (rows.tolist(), places.tolist()) == ([2, 5, 7], [2, 0, 2, 1])
    assert (rows.dtype, places.dtype) == (np.int32, np.int32)


def test_taken_keeps_what_belongs_together():
    kept = taken(union([NEWCOMER], [[4, 1]], fresh=[3]), np.array([2, 0]))
    assert (kept.item_rows.tolist(), kept.sources.tolist()) == ([4, 1], [1, 1])
