import time
from dataclasses import replace

import numpy as np
import pytest

from ranking.candidates import taken, union_candidates
from ranking.feature_names import FEATURE_NAMES, ITEM_FEATURE_NAMES, USER_FEATURE_NAMES
from ranking.history import history_of
from ranking.pair_features import affinities, pair_features
from tests.ranking.worlds import ANN, HIDER, NEWCOMER, NOW, items, pairs, random_world, users

UNDATED, UNSIGNED, BOTH = 4, 3, 1


def feature(name, candidates, *, now=NOW):
    return pair_features(users(), items(), candidates, now)[:, FEATURE_NAMES.index(name)].tolist()


def everything(user_count, item_count):
    return [(user, item) for user in range(user_count) for item in range(item_count)]


def test_names_are_unique_and_stale_ones_left_out():
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert "item_age_hours" not in FEATURE_NAMES
    assert "languages" not in USER_FEATURE_NAMES
    assert ITEM_FEATURE_NAMES[0] == "clicks_1d"


def test_creator_affinity_is_a_share_of_strength():
    # ann: a click on creator 0 weighs 1, a save on creator 1 weighs 2
    candidates = pairs((ANN, BOTH), (ANN, UNDATED), (ANN, UNSIGNED), (HIDER, 0), (NEWCOMER, 0))
    assert feature("creator_strength", candidates) == [1, 2, 0, 0, 0]
    assert feature("creator_share", candidates) == pytest.approx([1 / 3, 2 / 3, 0, 0, 0])
    assert feature("creator_interactions", candidates) == [1, 1, 0, 1, 0]
    assert feature("creator_interaction_share", candidates) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 2, 0])
    assert feature("creator_reach", candidates) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3, 0])


def test_unknown_creators_are_not_one_creator():
    unsigned_history = replace(users(), history_items=np.array([3, 2, 1], np.int32))
    features = pair_features(unsigned_history, items(), pairs((ANN, UNSIGNED)), NOW)
    assert features[0, FEATURE_NAMES.index("creator_strength")] == 0


def test_category_and_language_shares():
    candidates = pairs((ANN, BOTH), (ANN, UNDATED), (ANN, UNSIGNED), (NEWCOMER, BOTH))
    # `both` is in 0, where a third of the strength went, and in 1, where none did
    assert feature("category_share", candidates) == pytest.approx([1 / 6, 0, 0, 0])
    assert feature("language_share", candidates)[:2] == pytest.approx([1 / 3, 1 / 3])
    assert np.isnan(feature("language_share", candidates)[2])


def test_likeness_to_what_was_read():
    candidates = pairs((ANN, BOTH), (ANN, UNSIGNED), (NEWCOMER, BOTH), (HIDER, UNDATED))
    length = 5**0.5  # ann's profile is (1, 2): a click at (1, 0), a save at (0, 1)
    assert feature("text_profile", candidates) == pytest.approx([(0.6 + 2 * 0.8) / length, 0, 0, 0])
    # a hidden item is nothing to be near to
    assert feature("text_nearest", candidates) == pytest.approx([0.8, 0, 0, 0])
    assert feature("retrieval_score", candidates) == [2, 4, 0, 1]


def test_age_pace_and_clock():
    candidates = pairs((ANN, BOTH), (ANN, UNDATED))
    assert feature("age_hours", candidates)[0] == 30
    assert np.isnan(feature("age_hours", candidates)[1])
    assert feature("users_per_hour", candidates)[0] == pytest.approx(3 / 33)
    assert feature("created_hour", pairs((ANN, UNSIGNED))) == [6]
    assert feature("created_weekday", pairs((ANN, UNSIGNED))) == [1]
    assert feature("age_hours", candidates, now=50)[0] == 40


def test_what_is_new_since_the_last_visit():
    candidates = pairs((ANN, BOTH), (ANN, UNSIGNED), (NEWCOMER, UNSIGNED))  # ann was last here at hour 25
    assert feature("hours_away", candidates)[:2] == [15, 15]
    assert feature("new_since_last_interaction", candidates) == [0, 1, 0]
    assert feature("age_beyond_away", candidates)[:2] == [15, -5]
    assert np.isnan(feature("hours_away", candidates)[2])


def test_habit_is_how_old_items_are_when_read():
    candidates = pairs((ANN, BOTH), (HIDER, 0))  # ann read at 12 and 5 hours, hider at 1
    assert feature("median_age_at_click_hours", candidates) == [5, 1]
    assert feature("age_over_median_age_at_click", candidates) == pytest.approx(np.log([31 / 6, 41 / 2]).tolist())
    assert feature("quick_share_24h", candidates) == pytest.approx([2 / 3, 1 / 2])


def test_ranks_are_among_the_users_own_candidates():
    candidates = pairs((ANN, BOTH), (ANN, UNSIGNED), (ANN, UNDATED), (HIDER, BOTH))
    assert feature("newness_rank", candidates) == [1, 0, 2, 0]
    assert feature("popularity_rank_7d", candidates) == [1, 0, 2, 0]
    assert feature("retrieval_rank", candidates) == [2, 0, 1, 0]


def test_sources_are_bits():
    candidates = pairs((ANN, BOTH), sources=0b110)
    assert [feature(f"from_{source}", candidates)[0] for source in ("two_tower", "fresh", "popular")] == [0, 1, 1]


def test_one_user_alone_has_the_features_of_the_batch():
    many_users, things = random_world(1)
    all_pairs = candidates_of(many_users, things, np.arange(12))
    batch = pair_features(many_users, things, all_pairs, NOW)
    for user in range(12):
        alone = pair_features(many_users, things, candidates_of(many_users, things, np.array([user])), NOW)
        np.testing.assert_allclose(alone, batch[all_pairs.user_rows == user], rtol=1e-5, atol=1e-6)


def test_the_order_of_pairs_moves_rows_and_nothing_else():
    many_users, things = random_world(2)
    all_pairs = candidates_of(many_users, things, np.arange(12))
    order = np.random.default_rng(0).permutation(len(all_pairs.user_rows))
    straight = pair_features(many_users, things, all_pairs, NOW)
    np.testing.assert_allclose(
        pair_features(many_users, things, taken(all_pairs, order), NOW), straight[order], rtol=1e-5, atol=1e-6
    )


def test_no_pairs_and_no_known_user():
    assert pair_features(users(), items(), pairs(), NOW).shape == (0, len(FEATURE_NAMES))
    only_newcomer = pair_features(users(), items(), pairs(*everything(3, 5)[10:]), NOW)
    assert only_newcomer.shape == (5, len(FEATURE_NAMES))


def test_one_user_is_fast():
    many_users, things = random_world(3, user_count=50, things=2000)
    pairs_of_one = candidates_of(many_users, things, np.array([7]), 500)
    took = min(timed(lambda: pair_features(many_users, things, pairs_of_one, NOW)) for _ in range(5))
    assert took < 0.05


def candidates_of(many_users, things, user_rows, count=30):
    fresh = np.arange(count, dtype=np.int32)
    nearest = np.tile(np.arange(20, 20 + count // 2, dtype=np.int32), (len(user_rows), 1))
    return union_candidates(
        many_users, things, user_rows.astype(np.int32), neighbours=nearest, fresh=fresh, popular=fresh[:5]
    )


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


OLD, BOTH, SAVE, UNSIGNED, UNDATED = range(5)


def of(user: int, item: int) -> dict[str, float]:
    history = history_of(users(), items(), np.array([user], np.int32))
    columns = affinities(items(), history, np.array([0]), np.array([item], np.int32))
    return {name: float(values[0]) for name, values in columns.items()}


def test_shares_of_the_creator() -> None:
    """Ann clicked one item of creator 0 (strength 1) and saved one of creator 1 (strength 2)."""
    assert of(ANN, BOTH)["creator_strength"] == 1
    assert of(ANN, BOTH)["creator_share"] == pytest.approx(1 / 3)
    assert of(ANN, UNDATED)["creator_share"] == pytest.approx(2 / 3)


def test_shares_of_categories_are_means_over_those_of_the_item() -> None:
    """Ann's strength on category 0 is 1. What she saved has no category, so that none is on category 1."""
    assert of(ANN, OLD)["category_share"] == pytest.approx(1 / 3)
    assert of(ANN, BOTH)["category_share"] == pytest.approx((1 + 0) / 2 / 3)
    assert of(ANN, UNSIGNED)["category_share"] == of(ANN, SAVE)["category_share"] == 0


def test_an_unknown_creator_is_never_shared_and_an_unknown_language_is_missing() -> None:
    unknown = of(ANN, UNSIGNED)
    assert (unknown["creator_strength"], unknown["creator_share"]) == (0, 0)
    assert np.isnan(unknown["language_share"])


@pytest.mark.parametrize("user", [HIDER, NEWCOMER])
def test_without_strength_all_shares_are_zero(user: int) -> None:
    shares = of(user, BOTH)
    assert (shares["creator_share"], shares["category_share"], shares["language_share"]) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_shares_lie_between_zero_and_one_and_do_not_depend_on_other_users(seed: int) -> None:
    many_users, things = random_world(seed)
    all_rows = np.arange(12, dtype=np.int32)
    owners, rows = np.repeat(np.arange(12), 60), np.tile(np.arange(60, dtype=np.int32), 12)
    together = affinities(things, history_of(many_users, things, all_rows), owners, rows)
    for name in ("creator_share", "category_share", "language_share"):
        values = together[name][~np.isnan(together[name])]
        assert (values >= 0).all()
        if name != "category_share":  # items of this world may have a category twice
            assert (values <= 1 + 1e-6).all()
    alone = affinities(things, history_of(many_users, things, all_rows[5:6]), np.zeros(60, np.int64), rows[:60])
    for name, values in alone.items():
        np.testing.assert_allclose(values, together[name][owners == 5], rtol=1e-6)
