"""What is held out to validate on, by the protocol of the task."""

import numpy as np
import pytest

from models.two_tower import TwoTowerConfig
from models.two_tower.csr_interactions import Interactions
from models.two_tower.holdout import USERS_AT_MOST, HeldOut, hold_out
from tests.models.tiny_interactions import of


def held_out_of(interactions: Interactions, protocol: str, **changes: object) -> HeldOut:
    created = np.full(interactions.item_count, np.nan)
    return hold_out(interactions, created, TwoTowerConfig(validation=protocol, **changes), seed=7)


def wanted(held_out: HeldOut) -> list[tuple[int, int]]:
    users = held_out.users[held_out.wanted.owners]
    return list(zip(users.tolist(), held_out.wanted.item_rows.tolist(), strict=True))


def test_the_last_item_that_was_new_is_held_out() -> None:
    held_out = held_out_of(of([0, 1, 2, 1], [2]), "last_interactions")
    assert held_out.past.items.tolist() == [0, 1]  # the 1 after the 2 would give it away
    assert wanted(held_out) == [(0, 2)]  # the second user has no history to predict from


def test_without_order_a_tenth_is_held_out() -> None:
    held_out = held_out_of(of(*([*range(100)] for _ in range(20)), items=100), "random")
    assert len(held_out.wanted.item_rows) == 2000 - len(held_out.past.items) == pytest.approx(200, abs=50)


def test_without_order_every_interaction_of_a_held_out_pair_is_gone() -> None:
    held_out = held_out_of(of(*([*range(50), *range(50)] for _ in range(20)), items=50), "random")
    pairs = set(zip(held_out.past.users.tolist(), held_out.past.items.tolist(), strict=True))
    assert not pairs & set(wanted(held_out))
    assert len(held_out.past.items) == 2000 - 2 * len(held_out.wanted.item_rows)


def test_the_last_days_hold_new_items_of_known_users_that_existed_by_then() -> None:
    """Hours 0 to 6; from hour 4 on is held out: user 0's 3, and user 1's 0 and 3; 0 was seen, 3 did not exist."""
    interactions = of([0, 1, 2, 0], [1, 3, 0], items=4)
    created = np.array([np.nan, np.nan, np.nan, 5.0])
    config = TwoTowerConfig(validation_days=2 / 24, validation_share=0.9)
    held_out = hold_out(interactions, created, config, seed=7)
    assert held_out.hours == 4
    assert held_out.past.items.tolist() == [0, 1, 2, 0]
    assert held_out.rankable.tolist() == [True, True, True, False]
    assert wanted(held_out) == [], "the second user has no past"


def test_no_days_hold_nothing_out() -> None:
    held_out = held_out_of(of([0, 1, 2]), "last_days", validation_days=0)
    assert len(held_out.users) == 0
    assert held_out.past.items.tolist() == [0, 1, 2]


def test_many_users_are_sampled_evenly() -> None:
    held_out = held_out_of(of(*[[0, 1]] * (2 * USERS_AT_MOST)), "last_interactions")
    assert held_out.users.tolist() == list(range(0, 2 * USERS_AT_MOST, 2))


def test_scores_are_measured_with_the_past_masked() -> None:
    """The best unseen item of user 0 is right, of user 1 wrong; seen items score higher and do not count."""
    held_out = held_out_of(of([0, 1, 2], [1, 0, 2], items=4), "last_interactions")
    scores = np.array([[9, 8, 7, 1], [9, 8, 1, 7]], np.float32)
    recall, ndcg = held_out.measure_scores(lambda rows: scores[rows], 1)
    assert (recall, ndcg) == (0.5, 0.5)


def test_the_cold_share_counts_targets_that_the_past_lacks() -> None:
    held_out = held_out_of(of([0, 1, 2], [1, 0, 3], [3, 0, 1], items=4), "last_interactions")
    assert held_out.cold_share == pytest.approx(1 / 3), "2 is in no past, 3 is in user 2's"
