from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import slate
from ranking.fatigue import PairFatigue
from ranking.feature_arrays import Candidates
from ranking.slate import PrecedingItems, SlateConfig, slates
from tests.ranking.worlds import items, pairs, random_world

FREE = SlateConfig(per_creator=0)


def shown(scores, config, *, k=5, item_rows=(0, 1, 2, 3, 4), things=None):
    candidates = pairs(*[(0, row) for row in item_rows])
    slates_ = slates(things or items(), candidates, np.array(scores, np.float32), config, k=k)
    return candidates.item_rows[slates_.pairs].tolist(), slates_.relaxed.tolist()


def test_without_limits_and_diversity_it_is_the_plain_ranking():
    assert shown([1, 3, 3, 0, 2], FREE) == ([1, 2, 4, 0, 3], [False] * 5)


def test_fewer_candidates_than_places_give_a_shorter_slate():
    assert shown([1, 2], FREE, item_rows=(0, 1), k=50)[0] == [1, 0]
    assert shown([], FREE, item_rows=())[0] == []
    assert shown([1, 2], FREE, item_rows=(0, 1), k=0)[0] == []


def test_one_of_a_creator_in_two_neighbouring_places():
    # creators 0, 0, 1, -1, 1; by score: old, both, save, unsigned, undated
    assert shown([5, 4, 3, 2, 1], SlateConfig(window=2, per_creator=1))[0] == [0, 2, 1, 3, 4]


@pytest.mark.parametrize(
    ("window", "before", "expected"),
    [
        (2, [], [1, 3, 4]),  # creators 0, -1, 1
        (2, [0], [3, 1, 4]),  # `old` has the creator of `both`
        (2, [2], [1, 3, 4]),
        (2, [2, 0], [3, 1, 4]),  # the last one counts, and leaves the window after one place
        (2, [0, 2, 3], [1, 3, 4]),
        (3, [0, 2], [3, 1, 4]),  # in a window of three, both count
        (3, [0, 2, 3], [1, 3, 4]),  # and `old` counts no more
    ],
)
def test_what_stood_right_before_a_list_counts_in_its_first_windows(window, before, expected):
    candidates = pairs((0, 1), (0, 3), (0, 4), (1, 1), (1, 3), (1, 4))
    above = PrecedingItems(np.array([1, 0], np.int32), [np.zeros(0, np.int32), np.array(before, np.int32)])
    scores, config = np.array([5, 4, 3] * 2, np.float32), SlateConfig(window=window, per_creator=1)
    slates_ = slates(items(), candidates, scores, config, k=3, preceding=above)
    rows = candidates.item_rows[slates_.pairs].tolist()
    assert (rows[:3], rows[3:]) == (expected, [1, 3, 4])  # the second user saw nothing before


def test_an_unknown_creator_is_no_creator():
    unsigned = replace(items(), creator=np.full(5, -1, np.int32))
    assert shown([5, 4, 3, 2, 1], SlateConfig(window=5, per_creator=1), things=unsigned) == (
        [0, 1, 2, 3, 4],
        [False] * 5,
    )


def test_every_category_of_an_item_counts():
    # categories: old 0; both 0 and 1; save none; unsigned 1; undated 1
    assert shown([5, 4, 3, 2, 1], SlateConfig(window=2, per_creator=0, per_category=1))[0] == [0, 2, 1, 3, 4]
    assert shown([5, 4, 3, 2, 1], SlateConfig(window=2, per_creator=0, per_category=1))[1] == [*[False] * 3, True, True]


def test_limits_that_cannot_be_kept_are_relaxed_and_flagged():
    one_creator = replace(items(), creator=np.zeros(5, np.int32))
    rows, relaxed = shown([5, 4, 3, 2, 1], SlateConfig(window=3, per_creator=1), things=one_creator)
    assert rows == [0, 1, 2, 3, 4]
    assert relaxed == [False, True, True, True, True]


def test_mmr_by_hand():
    # old (1, 0), both (0, 1), save (0, 2); their scores 1.8, 2.0, 1.9 as relevance: 0, 1, 0.5
    # `both` is first; then save, its twin, is worth 0.5 * 0.5 - 0.5 * 1 = -0.25, and old 0.5 * 0 - 0.5 * 0 = 0
    rows, _ = shown([1.8, 2.0, 1.9], SlateConfig(per_creator=0, diversity=0.5), item_rows=(0, 1, 2))
    assert rows == [1, 0, 2]
    assert shown([1.8, 2.0, 1.9], SlateConfig(per_creator=0), item_rows=(0, 1, 2))[0] == [1, 2, 0]


def test_more_diversity_is_less_alike():
    _, things = random_world(5)
    candidates = Candidates(
        user_rows=np.zeros(60, np.int32),
        item_rows=np.arange(60, dtype=np.int32),
        sources=np.ones(60, np.uint8),
        retrieval_scores=np.zeros(60, np.float32),
    )
    scores = things.vectors[:, 0]
    unit = things.vectors / np.linalg.norm(things.vectors, axis=1, keepdims=True)

    def alike(diversity):
        slates_ = slates(things, candidates, scores, SlateConfig(per_creator=0, diversity=diversity), k=10)
        chosen = unit[candidates.item_rows[slates_.pairs]]
        return (chosen @ chosen.T).mean()

    assert alike(0.0) > alike(0.3) > alike(0.9)


worlds = st.integers(0, 10_000)


@settings(max_examples=30)
@given(worlds, st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), st.floats(0, 1), st.integers(0, 30))
def test_limits_hold_in_every_window_that_was_not_relaxed(seed, window, per_creator, per_category, diversity, k):
    _, things = random_world(seed, things=30)
    config = SlateConfig(window=window, per_creator=per_creator, per_category=per_category, diversity=diversity)
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, 3)
    candidates = pairs(*[(user, int(row)) for user, size in enumerate(sizes) for row in rng.choice(5, size)])
    candidates = replace(
        candidates, item_rows=np.concatenate([rng.choice(30, size, replace=False) for size in sizes]).astype(np.int32)
    )
    slates_ = slates(things, candidates, rng.normal(size=sizes.sum()).astype(np.float32), config, k=k)
    for user, size in enumerate(sizes):
        mine = candidates.user_rows[slates_.pairs] == user
        assert mine.sum() == min(k, size)
        rows = candidates.item_rows[slates_.pairs[mine]]
        assert len(set(rows.tolist())) == len(rows)
        assert slates_.places[mine].tolist() == list(range(len(rows)))
        for place in np.flatnonzero(~slates_.relaxed[mine]):
            recent = rows[max(0, place - window + 1) : place + 1]
            assert_within(recent, rows[place], things, config)


def assert_within(recent, row, things, config):
    creator = things.creator[row]
    if config.per_creator and creator >= 0:
        assert (things.creator[recent] == creator).sum() <= config.per_creator
    for category in categories(things, row) if config.per_category else ():
        assert sum(category in categories(things, other) for other in recent) <= config.per_category


def categories(things, row):
    return set(things.category_codes[things.category_offsets[row] : things.category_offsets[row + 1]].tolist())


@given(worlds)
@settings(max_examples=10)
def test_users_do_not_see_each_other(seed):
    _, things = random_world(seed)
    scores = np.random.default_rng(seed).normal(size=20).astype(np.float32)
    both = replace(pairs(*[(row // 10, 0) for row in range(20)]), item_rows=np.arange(20, dtype=np.int32))
    config = SlateConfig(window=4, per_creator=1, per_category=2, diversity=0.4)
    slates_ = slates(things, both, scores, config, k=6)
    half = replace(pairs(*[(1, 0)] * 10), item_rows=np.arange(10, 20, dtype=np.int32))
    alone = slates(things, half, scores[10:], config, k=6)
    assert (slates_.pairs[both.user_rows[slates_.pairs] == 1] - 10).tolist() == alone.pairs.tolist()


def test_a_matrix_has_a_row_for_each_user_and_ends_with_empty_places():
    candidates = pairs((0, 2), (0, 4), (2, 1))
    slates_ = slates(items(), candidates, np.array([1, 2, 3], np.float32), FREE, k=2)
    user_rows = np.array([2, -1, 0, 5], np.int32)  # the second has no row, the last has no candidates
    assert slates_.matrix(candidates, user_rows, 2).tolist() == [[2, -1], [-1, -1], [1, 0], [-1, -1]]
    assert slates_.matrix(candidates, user_rows, 3)[:, 2].tolist() == [-1] * 4


def test_a_matrix_of_no_candidates_is_empty():
    candidates = pairs()
    slates_ = slates(items(), candidates, np.zeros(0, np.float32), FREE, k=2)
    assert slates_.matrix(candidates, np.array([0, -1], np.int32), 2).tolist() == [[-1, -1], [-1, -1]]
    assert slates_.matrix(candidates, np.zeros(0, np.int32), 2).shape == (0, 2)


def test_common_items_are_limited_like_a_creator_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slate, "TIMES_CHANCE", 1)
    candidates = pairs(*((0, row) for row in range(5)))
    config = SlateConfig(window=3, per_creator=0, per_common=1, common_share=0.5, common_discount=0)
    exposure = np.array([0.9, 0.5, 0.49, 0.1, 0], np.float32)
    slates_ = slates(items(), candidates, np.array([5, 4, 3, 2, 1], np.float32), config, k=5, exposure=exposure)
    assert candidates.item_rows[slates_.pairs].tolist() == [0, 2, 3, 1, 4]
    assert not slates_.relaxed.any()
    free = slates(items(), candidates, np.array([5, 4, 3, 2, 1], np.float32), config, k=5)
    assert candidates.item_rows[free.pairs].tolist() == [0, 1, 2, 3, 4], "without exposure no item is common"


def test_where_lists_must_be_alike_no_item_is_common() -> None:
    # two of five items on each list: a share of 0.4 by chance, and 0.9 is less than three times as much
    candidates = pairs(*((0, row) for row in range(5)))
    config = SlateConfig(window=3, per_creator=0, per_common=1, common_share=0.1, common_discount=0)
    exposure = np.array([0.9, 0.5, 0.3, 0.2, 0.1], np.float32)
    slates_ = slates(items(), candidates, np.array([5, 4, 3, 2, 1], np.float32), config, k=5, exposure=exposure)
    assert candidates.item_rows[slates_.pairs].tolist() == [0, 1, 2, 3, 4]
    assert not slates_.relaxed.any(), "no limit had to give way"


def test_the_limit_of_common_items_gives_way_before_that_of_creators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slate, "TIMES_CHANCE", 1)
    # creators are 0 0 1 - 1, and all items are common
    candidates = pairs(*((0, row) for row in range(5)))
    config = SlateConfig(window=3, per_creator=1, per_common=1, common_share=0.5)
    exposure = np.ones(5, np.float32)
    slates_ = slates(items(), candidates, np.array([5, 4, 3, 2, 1], np.float32), config, k=5, exposure=exposure)
    assert candidates.item_rows[slates_.pairs].tolist() == [0, 2, 3, 1, 4]
    assert slates_.relaxed.tolist() == [False, True, True, True, True]


def test_an_item_of_moments_ago_comes_last_and_relaxes_no_limit() -> None:
    candidates, recent = pairs(*((0, row) for row in range(5))), np.array([True, False, False, False, False])
    fatigue = PairFatigue(np.ones(5, np.float32), recent)
    slates_ = slates(items(), candidates, np.array([5, 4, 3, 2, 1], np.float32), FREE, k=5, fatigue=fatigue)
    assert candidates.item_rows[slates_.pairs].tolist() == [1, 2, 3, 4, 0]
    assert not slates_.relaxed.any()


def test_what_many_would_have_is_worth_less() -> None:
    # relevance is 1, 0.75, 0.5 ...; the discount takes 0.3 from the first item, which every user would have
    candidates = pairs(*((0, row) for row in range(5)))
    exposure, scores = np.array([1, 0, 0, 0, 0], np.float32), np.array([5, 4, 3, 2, 1], np.float32)
    for discount, order in ((0.3, [1, 0, 2, 3, 4]), (0.2, [0, 1, 2, 3, 4])):
        config = SlateConfig(per_creator=0, per_common=0, common_discount=discount)
        slates_ = slates(items(), candidates, scores, config, k=5, exposure=exposure)
        assert candidates.item_rows[slates_.pairs].tolist() == order
