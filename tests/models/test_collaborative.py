"""The encoders of item ids in closed form, with numbers to check by hand."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from contracts.errors import UntrainableInput
from models.two_tower.collaborative.collaborative_config import CollaborativeConfig
from models.two_tower.collaborative.fit import Fits, fit
from models.two_tower.collaborative.id_encoder import FoldIn
from models.two_tower.collaborative.svd import item_space, leading
from models.two_tower.collaborative.user_states import Ridge, examples_of, latest
from tests.models.tiny_interactions import blocks, of

ONE_HOT = np.eye(3, dtype=np.float32)


def test_a_state_halves_with_each_interaction() -> None:
    states = latest(of([0, 1], []), ONE_HOT, (1.0,))
    assert states[0] == pytest.approx(np.array([0.5, 1, 0]) / np.sqrt(1.25))
    assert states[1].tolist() == [0, 0, 0]


def test_an_example_is_the_state_just_before_a_first_interaction() -> None:
    """Also across the chunks in which a long history is gone through."""
    random, half_lives = np.random.default_rng(0), (0.5, 4.0, np.inf)
    inputs = random.normal(size=(300, 5)).astype(np.float32)
    interactions = of(random.integers(300, size=200).tolist(), [7, 7, 9], [4], items=300)
    results = [
        (state, int(item))
        for part in examples_of(interactions, inputs, half_lives)
        for state, item in zip(*vars(part).values(), strict=True)
    ]
    items = interactions.items[:200]
    fresh = [place for place in range(1, 200) if items[place] not in items[:place]]
    assert len(results) == len(fresh) + 1  # the second user's 9; nothing was before the third one's 4
    before = latest(of(*(items[:place].tolist() for place in fresh), [7, 7], items=300), inputs, half_lives)
    by_item = {item: state.numpy() for state, item in results if item != 9}
    for place, state in zip(fresh, before, strict=False):
        if items[place] != 9:
            assert by_item[int(items[place])] == pytest.approx(state, abs=1e-5)


def test_the_ridge_is_ridge_regression() -> None:
    """After 0 comes 1 twice and 2 once. Penalty 1, without a constant it would be 2 / (3 + 1) and 1 / (3 + 1)."""
    interactions = of([0, 1], [0, 1], [0, 2])
    solved = Ridge(examples_of(interactions, ONE_HOT, (1.0,)), columns=3, items=3).solve(1.0)
    assert solved.shape == (3, 4)
    # the state and the constant are both 1, and share what one column would hold: n / (2 * 3 + 1)
    assert solved[:, [0, 3]] == pytest.approx(np.array([[0, 0], [2 / 7, 2 / 7], [1 / 7, 1 / 7]]), abs=1e-6)
    assert solved[:, 1:3] == pytest.approx(0)


def test_the_item_space_separates_blocks() -> None:
    space = item_space(blocks().pairs(), 2, user_power=0.5, item_power=0.5, seed=1)
    cosines = space.directions_ID @ space.directions_ID.T
    assert (cosines[0, 2::2] > 0.01).all()
    assert np.abs(cosines[0, 1::2]).max() < 0.01
    assert space.spectrum_D == pytest.approx([1, 1], abs=1e-3)  # two components, each a random walk of its own


def test_shrinkage_is_ridge_regression_of_every_item_on_all_others() -> None:
    """EASE's weights in closed form (Steck 2019), between different items, and of an item without interactions."""
    pairs = csr_matrix((np.random.default_rng(0).random((40, 7)) < 0.4).astype(np.float32))
    space = item_space(pairs, 7, user_power=0, item_power=0, seed=0)
    penalty = 0.05 * float(space.spectrum_D[0]) ** 2
    inverse = np.linalg.inv((pairs.T @ pairs).toarray() + penalty * np.eye(7))
    ease = -inverse / np.diag(inverse)
    inputs = space.inputs(7, item_power=0, spectrum_power=0, shrinkage=0.05)
    ours = inputs @ space.outputs(7, popularity_power=0, shrinkage=0.05).T
    apart = ~np.eye(7, dtype=bool)
    assert ours[apart] / ease[apart] == pytest.approx(np.full(42, ours[0, 1] / ease[0, 1]), rel=1e-3)


@pytest.mark.parametrize(("users", "items", "size"), [(90, 40, 5), (40, 90, 5), (30, 8, 20), (8, 30, 20)])
def test_leading_directions_are_those_of_the_whole_decomposition(users: int, items: int, size: int) -> None:
    random, rank = np.random.default_rng(0), min(users, items)
    left, right = (np.linalg.qr(random.normal(size=(count, rank)))[0] for count in (users, items))
    matrix = (left * 0.6 ** np.arange(rank)) @ right.T
    directions, spectrum = leading(csr_matrix(matrix), size, seed=7)
    _, values, whole = np.linalg.svd(matrix)
    assert directions.shape == (items, min(size, rank))
    assert spectrum == pytest.approx(values[:size], rel=1e-3)
    assert np.abs((directions * whole[: len(spectrum)].T).sum(axis=0)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("encoder", ["svd", "ease", "ials", "ridge"])
def test_an_empty_history_ranks_by_popularity(encoder: str) -> None:
    interactions = of([0, 1], [0, 1, 2], [2, 1], [2, 1])
    fitted = fit(interactions, CollaborativeConfig(encoder=encoder, embedding_size=2), seed=7)
    assert fitted.scores(of([])).argmax() == 1


def test_the_same_seed_gives_the_same_vectors_and_one_decomposition_serves_smaller_ones() -> None:
    fits, small = Fits(blocks(), 7), CollaborativeConfig(embedding_size=2)
    fits.encoder(CollaborativeConfig(embedding_size=5))
    one, two = fits.encoder(small), fits.encoder(small)
    assert np.array_equal(one.items_IV, two.items_IV)
    assert fits.encoder(small).vector_size == 3, "two dimensions and popularity"


@pytest.mark.parametrize("items", [0, 3])
def test_no_interactions_are_an_error(items: int) -> None:
    with pytest.raises(UntrainableInput, match="no interactions to learn from"):
        fit(of([], items=items), CollaborativeConfig(), seed=7)


def test_a_history_is_folded_into_the_vector_that_ials_solved_for_its_user() -> None:
    """As long as the item vectors stay: one more sweep over the users alone gives the same."""
    interactions = of(*(np.random.default_rng(user).permutation(9)[:4].tolist() for user in range(50)), items=9)
    alpha, penalty, items = 5.0, 2.0, np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    solved = FoldIn(items, alpha, penalty)(interactions)
    for user in (0, 7):
        confidence = np.where(interactions.pairs().toarray()[user] > 0, alpha, 1.0)
        liked = interactions.pairs().toarray()[user]
        left = items.T @ np.diag(confidence) @ items + penalty * np.eye(3)
        assert solved[user] == pytest.approx(np.linalg.solve(left, items.T @ (confidence * liked)), abs=1e-4)
    assert FoldIn(items, alpha, penalty)(of([], items=9)).tolist() == [[0, 0, 0]]
