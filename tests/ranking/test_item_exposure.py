from dataclasses import replace

import numpy as np
import pytest

from ranking import item_exposure as module
from ranking.candidates import CandidateConfig
from ranking.item_exposure import exposure, reference_users, with_exposure
from ranking.rank_users import RankingConfig, RankingSnapshot, rank_users
from ranking.slate import SlateConfig
from tests.ranking.test_rank_users import ByRetrieval, ExactItems
from tests.ranking.worlds import random_world

USERS, K = 40, 10


def world(**slate: float) -> RankingSnapshot:
    """The same five items suit all forty users best; below them, each user has another taste."""
    users, items = random_world(3, user_count=USERS, things=120)
    vectors, tastes = items.vectors.copy(), users.vectors.copy()
    vectors[:, 0], tastes[:, 0] = 0, 1
    vectors[:5, 0] = 99
    users = replace(users, vectors=tastes, history_items=np.maximum(users.history_items, 5))
    items = replace(items, vectors=vectors)
    config = RankingConfig(
        candidates=CandidateConfig(neighbours=120, fresh=0, popular=0, popular_ever=0),
        slate=SlateConfig(per_creator=0, **slate),
    )
    return RankingSnapshot(users, items, ExactItems(items.vectors), config, as_of_hours=100)


def first_items(snapshot: RankingSnapshot, k: int = K) -> np.ndarray:
    """[U, k] item rows of all users."""
    ranked = rank_users(snapshot, ByRetrieval(), np.arange(USERS, dtype=np.int32), k)
    return ranked.candidates.item_rows[ranked.slates.matrix(ranked.candidates, np.arange(USERS, dtype=np.int32), k)]


EVERYONE = np.arange(USERS, dtype=np.int32)


def test_exposure_is_the_share_of_users_with_the_item_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEPTH", K)
    snapshot = world(per_common=2)
    shares = exposure(snapshot, ByRetrieval(), EVERYONE)
    want = np.bincount(first_items(snapshot).ravel(), minlength=len(shares)) / USERS
    np.testing.assert_allclose(shares, want, rtol=1e-6)
    assert (shares[:5] == 1).all()


def test_exposure_is_measured_without_the_limit_that_reads_it() -> None:
    once = with_exposure(world(per_common=2), ByRetrieval(), EVERYONE)
    assert once.exposure is not None
    np.testing.assert_array_equal(exposure(once, ByRetrieval(), EVERYONE), once.exposure)


def test_lists_hold_so_many_common_items_in_ten_places_and_differ_more() -> None:
    common = np.arange(5)
    free, limited = world(per_common=0, common_discount=0), world(per_common=2, common_share=0.9)
    assert with_exposure(free, ByRetrieval(), EVERYONE).exposure is None
    assert np.isin(first_items(free), common).sum(axis=1).tolist() == [5] * USERS
    lists = first_items(with_exposure(limited, ByRetrieval(), EVERYONE))
    assert np.isin(lists, common).sum(axis=1).tolist() == [2] * USERS
    assert np.isin(lists[:, :2], common).all(), "the common items that suit a user best stay on top"


def test_a_list_depends_on_no_other_user_of_the_call() -> None:
    snapshot = with_exposure(world(per_common=2), ByRetrieval(), EVERYONE)
    together = first_items(snapshot)
    for row in (0, 17):
        alone = rank_users(snapshot, ByRetrieval(), np.array([row], np.int32), K)
        assert alone.candidates.item_rows[alone.slates.pairs].tolist() == together[row].tolist()


def test_reference_users_are_spread_evenly_and_a_handful_are_none() -> None:
    rows = np.arange(1000, dtype=np.int32)
    chosen = reference_users(rows)
    assert (len(chosen), chosen[0], chosen[-1]) == (256, 0, 999)
    assert len(np.unique(chosen)) == 256
    assert reference_users(rows[:20]).tolist() == list(range(20))
    assert reference_users(rows[:19]).tolist() == []
    snapshot = with_exposure(world(per_common=2), ByRetrieval(), EVERYONE[:19])
    assert snapshot.exposure is not None
    assert not snapshot.exposure.any(), "a share of a few users is chance: no item is common"
