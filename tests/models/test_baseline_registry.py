"""Every baseline that scores a matrix obeys the same suite."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models.baselines import SCORERS

USERS, ITEMS = 30, 12
SMALL = {"bpr": {"embedding_size": 4, "epochs": 100, "learning_rate": 0.1}, "ials": {"embedding_size": 4}}


def matrix() -> csr_matrix:
    """Even users like even items and odd users odd ones; the last user has no interaction."""
    rng = np.random.default_rng(2)
    dense = np.zeros((USERS + 1, ITEMS), np.float32)
    for user in range(USERS):
        dense[user, 2 * rng.permutation(ITEMS // 2)[:4] + user % 2] = 1
    return csr_matrix(dense)


def scores_of(name: str, rows: np.ndarray) -> np.ndarray:
    scorer = SCORERS[name]
    return np.array(scorer.scores(matrix(), scorer.config(**SMALL.get(name, {})), seed=5, threads=1)(rows))


@pytest.mark.parametrize("name", sorted(SCORERS))
class TestEveryScorer:
    def test_one_finite_score_for_every_user_and_item(self, name):
        scores = scores_of(name, np.arange(USERS))
        assert scores.shape == (USERS, ITEMS)
        assert np.isfinite(scores).all()

    def test_a_user_without_interactions_gets_scores(self, name):
        scores = scores_of(name, np.array([USERS]))
        assert scores.shape == (1, ITEMS)
        assert np.isfinite(scores).all()

    def test_no_users_get_none(self, name):
        assert scores_of(name, np.array([], np.int32)).shape == (0, ITEMS)

    def test_the_same_seed_gives_the_same_scores(self, name):
        rows = np.arange(USERS)
        np.testing.assert_array_equal(scores_of(name, rows), scores_of(name, rows))

    def test_scores_do_not_depend_on_the_other_users_of_a_call(self, name):
        together, some = scores_of(name, np.arange(USERS)), np.array([7, 2])
        np.testing.assert_allclose(scores_of(name, some), together[some], atol=1e-5)

    def test_scores_may_be_overwritten(self, name):
        scorer = SCORERS[name]
        fitted = scorer.scores(matrix(), scorer.config(**SMALL.get(name, {})), seed=5, threads=1)
        first = np.array(fitted(np.arange(3)))
        fitted(np.arange(3))[:] = -1
        np.testing.assert_array_equal(fitted(np.arange(3)), first)


@pytest.mark.parametrize("name", sorted(set(SCORERS) - {"most_popular"}))
def test_the_own_half_of_the_items_scores_higher(name):
    scores = scores_of(name, np.arange(USERS))
    own = np.arange(ITEMS)[None, :] % 2 == np.arange(USERS)[:, None] % 2
    assert (np.where(own, scores, 0).sum(axis=1) > np.where(own, 0, scores).sum(axis=1)).mean() > 0.9
