"""What users click after an item, and which items share users, by hand."""

import numpy as np
import pytest

from ranking import cooccurrence_features as module
from ranking.cooccurrence_features import (
    Transitions,
    cooccurrence_features,
    transition_tables,
    user_states,
)
from ranking.feature_arrays import Candidates, Users
from ranking.feature_names import COOCCURRENCE_NAMES


def users_with(*histories: list[int], hidden: frozenset[int] = frozenset()) -> Users:
    """Their interactions in order, all clicks but for the `hidden` positions; nothing else of them is read."""
    counts = [len(history) for history in histories]
    items = np.array([item for history in histories for item in history], np.int32)
    nothing = np.zeros((len(counts), 0), np.float32)
    clicks = np.array([position not in hidden for position in range(len(items))], np.float32)
    return Users(
        ids=np.array([str(row) for row in range(len(counts))]),
        region=np.full(len(counts), -1, np.int32),
        vectors=nothing,
        features=nothing,
        history_offsets=np.concatenate([[0], np.cumsum(counts)]),
        history_items=items,
        history_saves=np.zeros(len(items), np.float32),
        history_clicks=clicks,
        history_hours=np.arange(len(items), dtype=np.float64),
    )


def tables(users: Users, items: int, rows: list[int] | None = None) -> Transitions:
    chosen = range(len(users.ids)) if rows is None else rows
    return transition_tables(users, items, np.array(list(chosen), np.int32))


def pairs_of(*pairs: tuple[int, int]) -> Candidates:
    users, items = np.array(pairs, np.int32).reshape(-1, 2).T
    return Candidates(users, items, np.zeros(len(users), np.uint8), np.zeros(len(users), np.float32))


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, COOCCURRENCE_NAMES.index(name)]


def test_what_follows_is_a_share_with_a_prior_and_never_crosses_users() -> None:
    after = tables(users_with([0, 1], [0, 1], [2, 3], [2, 3]), 4).after.toarray()
    assert after[0].tolist() == pytest.approx([0, 2 / 22, 0, 0])  # two followers, and twenty imagined
    assert after[2].tolist() == pytest.approx([0, 0, 0, 2 / 22])
    assert not after[[1, 3]].any()


def test_sooner_counts_more() -> None:
    after = tables(users_with([0, 1, 2], [0, 1, 2]), 3).after.toarray()
    assert after[0, 2] / after[0, 1] == pytest.approx(0.5 ** (1 / 3))


def test_what_a_single_user_did_is_in_no_table() -> None:
    counted = tables(users_with([0, 1], [2, 3], [2, 3]), 4)
    assert counted.after.toarray()[0].tolist() == [0, 0, 0, 0]
    assert counted.together.toarray()[[0, 1]].tolist() == [[0, 0, 0, 0]] * 2
    assert counted.together.toarray()[2, 3] == pytest.approx(2 / 22)


def test_users_who_opted_out_of_training_are_in_no_table() -> None:
    users = users_with([0, 1], [0, 1], [2, 3], [2, 3])
    counted = tables(users, 4, rows=[2, 3])
    assert not counted.after.toarray()[0].any()
    assert counted.after.toarray()[2, 3] > 0


def test_a_hidden_item_follows_nothing() -> None:
    counted = tables(users_with([0, 1], [0, 1], hidden=frozenset({1, 3})), 2)
    assert not counted.after.toarray().any()
    assert not counted.together.toarray().any()


def test_only_the_largest_entries_of_an_item_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 1)
    counted = tables(users_with(*[[0, 1]] * 3, *[[0, 2]] * 2), 3)
    assert np.diff(counted.after_offsets).max() == 1
    assert counted.after.toarray()[0].argmax() == 1


def test_states_halve_with_later_interactions() -> None:
    users = users_with([0, 1, 2], [2])
    assert user_states(users, np.array([0]), 3, 1.0).toarray().tolist() == [[0.25, 0.5, 1]]
    assert user_states(users, np.array([1, 0]), 3, np.inf).toarray().tolist() == [[0, 0, 1], [1, 1, 1]]


def test_what_follows_the_last_item_differs_from_what_follows_earlier_ones() -> None:
    users = users_with(*[[0, 1]] * 30, *[[2, 3]] * 30, [0, 2], [2, 0])
    counted = cooccurrence_features(users, tables(users, 4), pairs_of((60, 1), (60, 3), (61, 1), (61, 3)))
    last = column(counted, "after_last")
    assert last[1] > 10 * last[0]
    assert last[2] > 10 * last[3]
    assert column(counted, "after_recent_rank").tolist() == [1, 0, 0, 1]


def test_items_together_need_no_order() -> None:
    users = users_with(*[[0, 1], [1, 0]] * 30, *[[2, 3]] * 60, [0])
    together = column(cooccurrence_features(users, tables(users, 4), pairs_of((120, 1), (120, 3))), "together_all")
    assert together[0] > 0
    assert together[1] == 0


def test_values_depend_on_the_pair_s_own_user_alone_and_not_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    users = users_with(*[rng.permutation(12)[:6].tolist() for _ in range(20)])
    counted = tables(users, 12)
    pairs = [(user, item) for user in (7, 2, 11) for item in range(12)]
    together = cooccurrence_features(users, counted, pairs_of(*pairs))
    monkeypatch.setattr(module, "CHUNK_CELLS", 12)
    for user in (7, 2, 11):
        own = [position for position, (owner, _) in enumerate(pairs) if owner == user]
        alone = cooccurrence_features(users, counted, pairs_of(*[pairs[position] for position in own]))
        np.testing.assert_allclose(alone, together[own], rtol=1e-6)


def test_an_empty_history_and_no_pairs() -> None:
    users = users_with([0, 1], [0, 1], [])
    counted = tables(users, 2)
    assert cooccurrence_features(users, counted, pairs_of((2, 0), (2, 1)))[:, [0, 1, 3, 4]].tolist() == [[0] * 4] * 2
    assert cooccurrence_features(users, counted, pairs_of()).shape == (0, len(COOCCURRENCE_NAMES))
    assert not tables(users, 2, rows=[]).after.nnz
