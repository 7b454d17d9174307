"""One path from candidates to lists: what it leaves out, its order, and that users do not depend on each other."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from ranking.candidates import CandidateConfig
from ranking.feature_names import FEATURE_NAMES
from ranking.rank_users import RankingConfig, RankingSnapshot, first_sources, rank_users
from ranking.slate import SlateConfig
from tests.ranking.worlds import ANN, HIDER, NEWCOMER, NOW, items, random_world, users


@dataclass(frozen=True)
class Found:
    rows: np.ndarray


class ExactItems:
    """Inner products over all items."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def search(self, queries: np.ndarray, k: int) -> Found:
        order = np.argsort(-(queries @ self.vectors.T), axis=1, kind="stable")[:, :k].astype(np.int32)
        rows = np.full((len(queries), k), -1, np.int32)
        rows[:, : order.shape[1]] = order
        return Found(rows)


class ByRetrieval:
    """A re-ranker that keeps retrieval's order."""

    uses_cooccurrence = uses_impressions = False

    def score(self, features: np.ndarray, item_rows: np.ndarray | None = None) -> np.ndarray:
        return features[:, FEATURE_NAMES.index("retrieval_score")]


PLAIN = SlateConfig(per_creator=0)


def snapshot(**candidates: int) -> RankingSnapshot:
    config = RankingConfig(candidates=CandidateConfig(**candidates), slate=PLAIN)
    return RankingSnapshot(users(), items(), ExactItems(items().vectors), config, NOW)


def listed(ranked, user_row: int) -> list[int]:
    pairs = ranked.slates.pairs
    return ranked.candidates.item_rows[pairs][ranked.candidates.user_rows[pairs] == user_row].tolist()


def test_the_nearest_unseen_items_come_best_first() -> None:
    ranked = rank_users(snapshot(fresh=0, popular=0, popular_ever=0), ByRetrieval(), np.array([ANN], np.int32), 9)
    assert listed(ranked, ANN) == [3, 4, 1]  # 4, 3 and 2 by inner product; ann has seen 0 and 2


def test_excluded_items_are_in_no_list_and_may_differ_by_user() -> None:
    rows = np.array([ANN, NEWCOMER], np.int32)
    for_all = np.array([False, False, False, True, False])
    assert 3 not in rank_users(snapshot(), ByRetrieval(), rows, 9, excluded=for_all).candidates.item_rows
    only_ann = np.stack([for_all, np.zeros(5, bool)])
    ranked = rank_users(snapshot(), ByRetrieval(), rows, 9, excluded=only_ann)
    assert 3 not in listed(ranked, ANN)
    assert 3 in listed(ranked, NEWCOMER)


def test_as_many_unseen_neighbours_as_requested_whatever_the_history() -> None:
    two = snapshot(neighbours=2, fresh=0, popular=0, popular_ever=0)
    ranked = rank_users(two, ByRetrieval(), np.arange(3, dtype=np.int32), 9)
    assert [len(listed(ranked, row)) for row in (ANN, HIDER, NEWCOMER)] == [2, 2, 2]


def test_a_longer_slate_begins_with_the_shorter_one() -> None:
    for row in (ANN, NEWCOMER):
        rows = np.array([row], np.int32)
        short, long = (listed(rank_users(snapshot(), ByRetrieval(), rows, k), row) for k in (1, 4))
        assert long[:1] == short


@pytest.mark.parametrize("seed", range(3))
def test_a_user_s_list_does_not_depend_on_other_users(seed: int) -> None:
    many_users, things = random_world(seed)
    config = RankingConfig(candidates=CandidateConfig(neighbours=9, fresh=5, popular=5), slate=PLAIN)
    world = RankingSnapshot(many_users, things, ExactItems(things.vectors), config, NOW)
    together = rank_users(world, ByRetrieval(), np.arange(12, dtype=np.int32), 6)
    for row in range(12):
        alone = rank_users(world, ByRetrieval(), np.array([row], np.int32), 6)
        assert listed(alone, row) == listed(together, row)


def test_no_users_have_no_lists() -> None:
    ranked = rank_users(snapshot(), ByRetrieval(), np.zeros(0, np.int32), 5)
    assert len(ranked.scores) == len(ranked.slates.pairs) == 0


def test_a_candidate_of_several_sources_is_named_by_the_first() -> None:
    bits = np.array([0b111, 0b010, 0b110, 0b100], np.uint8)
    assert first_sources(bits).tolist() == ["two_tower", "fresh", "fresh", "popular"]


class CountedReads(np.ndarray):
    """An array that counts how many of its values are read by whole-array functions."""

    read = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        arrays = [each.view(np.ndarray) if isinstance(each, CountedReads) else each for each in inputs]
        CountedReads.read = max(CountedReads.read, *(np.size(each) for each in arrays))
        return getattr(ufunc, method)(*arrays, **options)


def test_one_list_reads_no_array_of_all_users():
    """A release has a million users: 14 of 30 ms were reads of every user's history."""
    everyone, things = random_world(3, user_count=5000)
    counted = {
        name: getattr(everyone, name).view(CountedReads)
        for name in ("history_offsets", "history_items", "history_saves", "history_clicks", "history_hours")
    }
    world = RankingSnapshot(replace(everyone, **counted), things, ExactItems(things.vectors), RankingConfig(), NOW)
    rank_users(world, ByRetrieval(), np.array([7], np.int32), 20)
    assert 0 < CountedReads.read < 1000
