"""Shares of a user's strength by creator, category and language, by hand and over random worlds."""

import numpy as np
import pytest

from ranking.affinities import affinities
from ranking.history import history_of
from tests.ranking.worlds import ANN, HIDER, NEWCOMER, items, random_world, users

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
