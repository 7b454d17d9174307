"""The memory two-tower, with numbers that a person can check."""

import gc
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tastefeed.contracts.errors import UntrainableInput
from tastefeed.models.two_tower.memory import (
    MemoryConfig,
    fit,
    fit_memory,
    histories_of,
)
from tastefeed.models.two_tower.memory.choice import FAVOUR
from tastefeed.models.two_tower.memory.memories import latest, lessons
from tastefeed.models.two_tower.memory.readout import Readout
from tastefeed.models.two_tower.memory.space import item_space, leading
from tastefeed.models.two_tower.memory.trials import Bench, Trial
from tastefeed.models.two_tower.memory.validation import hold_out
from tests.models.paths import blocks, of, unseen_scores, wanderers

ONE_HOT = np.eye(3, dtype=np.float32)


def test_histories_keep_the_order_of_each_user() -> None:
    histories = histories_of(np.array([1, 0, 1, 1]), np.array([2, 0, 1, 2]), users=3, items=3)
    assert histories.offsets.tolist() == [0, 1, 4, 4]  # user 2 touched nothing
    assert histories.items.tolist() == [0, 2, 1, 2]
    assert histories.first_touches.tolist() == [True, True, True, False]
    assert histories.take(np.array([2, 1])).items.tolist() == [2, 1, 2]
    assert histories.pairs().toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_memory_halves_with_each_touch() -> None:
    remembered = latest(of([0, 1], []), ONE_HOT, (1.0,))
    assert remembered[0] == pytest.approx(np.array([0.5, 1, 0]) / np.sqrt(1.25))
    assert remembered[1].tolist() == [0, 0, 0]


def test_a_lesson_is_what_was_remembered_just_before_a_first_touch() -> None:
    """Also across the chunks in which a long history is gone through."""
    random, half_lives = np.random.default_rng(0), (0.5, 4.0, np.inf)
    inputs = random.normal(size=(300, 5)).astype(np.float32)
    histories = of(random.integers(300, size=200).tolist(), [7, 7, 9], [4], items=300)
    found = [
        (state, int(item))
        for part in lessons(histories, inputs, half_lives)
        for state, item in zip(*vars(part).values(), strict=True)
    ]
    touched = histories.items[:200]
    fresh = [place for place in range(1, 200) if touched[place] not in touched[:place]]
    assert len(found) == len(fresh) + 1  # the second user's 9; nothing was before the third one's 4
    before = latest(of(*(touched[:place].tolist() for place in fresh), [7, 7], items=300), inputs, half_lives)
    by_item = {item: state.numpy() for state, item in found if item != 9}
    for place, state in zip(fresh, before, strict=False):
        if touched[place] != 9:
            assert by_item[int(touched[place])] == pytest.approx(state, abs=1e-5)


def test_the_readout_is_ridge_regression() -> None:
    """After 0 comes 1 twice and 2 once. Penalty 1, without a constant it would be 2 / (3 + 1) and 1 / (3 + 1)."""
    histories = of([0, 1], [0, 1], [0, 2])
    solved = Readout(lessons(histories, ONE_HOT, (1.0,)), columns=3, items=3).solve(1.0)
    assert solved.shape == (3, 4)
    # the state and the constant are both 1, and share what one column would hold: n / (2 * 3 + 1)
    assert solved[:, [0, 3]] == pytest.approx(np.array([[0, 0], [2 / 7, 2 / 7], [1 / 7, 1 / 7]]), abs=1e-6)
    assert solved[:, 1:3] == pytest.approx(0)


def test_the_item_space_tells_blocks_apart() -> None:
    space = item_space(blocks().pairs(), 2, user_power=0.5, item_power=0.5, seed=1)
    cosines = space.directions_ID @ space.directions_ID.T
    assert (cosines[0, 2::2] > 0.01).all()
    assert np.abs(cosines[0, 1::2]).max() < 0.01
    assert space.spectrum_D == pytest.approx([1, 1], abs=1e-3)  # two components, each a random walk of its own


def test_shrinkage_is_ridge_regression_of_everything_on_all_else() -> None:
    """EASE's weights in closed form (Steck 2019), between different items, and of what nobody has touched yet."""
    pairs = csr_matrix((np.random.default_rng(0).random((40, 7)) < 0.4).astype(np.float32))
    space = item_space(pairs, 7, user_power=0, item_power=0, seed=0)
    penalty = 0.05 * float(space.spectrum_D[0]) ** 2
    inverse = np.linalg.inv((pairs.T @ pairs).toarray() + penalty * np.eye(7))
    ease = -inverse / np.diag(inverse)
    inputs = space.inputs(7, item_power=0, spectrum_power=0, shrinkage=0.05)
    ours = inputs @ space.outputs(7, popularity_power=0, shrinkage=0.05).T
    apart = ~np.eye(7, dtype=bool)
    assert ours[apart] / ease[apart] == pytest.approx(np.full(42, ours[0, 1] / ease[0, 1]), rel=1e-3)


def test_what_is_held_out_is_the_last_item_that_was_new() -> None:
    held_out = hold_out(of([0, 1, 2, 1], [2]), ordered=True, seed=7)
    assert held_out.past.items.tolist() == [0, 1]  # the 1 after the 2 would tell of it
    assert held_out.asked.wanted.toarray().tolist() == [[0, 0, 1]]  # the second user has no past to be asked from


@pytest.mark.parametrize(("people", "items", "size"), [(90, 40, 5), (40, 90, 5), (30, 8, 20), (8, 30, 20)])
def test_leading_directions_are_those_of_the_whole_decomposition(people: int, items: int, size: int) -> None:
    random, rank = np.random.default_rng(0), min(people, items)
    left, right = (np.linalg.qr(random.normal(size=(count, rank)))[0] for count in (people, items))
    matrix = (left * 0.6 ** np.arange(rank)) @ right.T
    directions, spectrum = leading(csr_matrix(matrix), size, seed=7)
    _, values, whole = np.linalg.svd(matrix)
    assert directions.shape == (items, min(size, rank))
    assert spectrum == pytest.approx(values[:size], rel=1e-3)
    assert np.abs((directions * whole[: len(spectrum)].T).sum(axis=0)) == pytest.approx(1, abs=1e-3)


def test_without_order_a_tenth_is_held_out() -> None:
    histories = of(*([*range(100)] for _ in range(20)), items=100)
    held_out = hold_out(histories, ordered=False, seed=7)
    assert held_out.asked.wanted.sum() == 2000 - len(held_out.past.items) == pytest.approx(200, abs=50)


def test_without_order_every_touch_of_a_held_out_pair_is_gone() -> None:
    histories = of(*([*range(50), *range(50)] for _ in range(20)), items=50)
    held_out = hold_out(histories, ordered=False, seed=7)
    assert held_out.asked.wanted.sum() == pytest.approx(100, abs=30)
    assert held_out.past.pairs().multiply(hold_out(histories, ordered=False, seed=7).asked.wanted).nnz == 0
    assert len(held_out.past.items) == 2000 - 2 * held_out.asked.wanted.sum()


def test_who_walks_a_path_is_read_as_memories() -> None:
    histories = wanderers()
    tower = fit_memory(histories, k=1, seed=7, ordered=True, readouts=("space", "ridge"))
    assert tower.config.readout == "ridge"
    scores = unseen_scores(tower, histories)
    assert scores.argmax(axis=1).tolist() == [(person * 5 + 8) % 12 for person in range(60)]


def test_who_has_a_block_is_read_as_a_bag() -> None:
    histories = blocks()
    tower = fit_memory(histories, k=2, seed=7, ordered=False)
    assert tower.config.readout in ("space", "ease", "bag")
    best = np.argsort(-unseen_scores(tower, histories), axis=1)[:, :2]
    assert (best % 2 == np.arange(60)[:, None] % 2).mean() > 0.9  # a guess: one half


def test_ease_is_favoured_where_it_is_about_as_good() -> None:
    tried: list[Trial] = []
    tower = fit_memory(blocks(), k=2, seed=7, ordered=False, readouts=("space", "ease"), on_trial=tried.append)
    best = {name: max(trial.ndcg for trial in tried if trial.config.readout == name) for name in ("space", "ease")}
    assert best["ease"] > 0
    assert tower.config.readout == ("ease" if best["ease"] * FAVOUR >= best["space"] else "space")


@pytest.mark.parametrize("readout", ["space", "ease", "ridge"])
def test_nobody_in_particular_gets_what_is_popular(readout: str) -> None:
    histories = of([0, 1], [0, 1, 2], [2, 1], [2, 1])
    tower = fit(histories, MemoryConfig(readout=readout, embedding_size=2), seed=7)
    stranger = tower.scores(of([]))
    assert stranger.argmax() == 1


def test_the_same_seed_gives_the_same_vectors() -> None:
    one, two = (fit_memory(wanderers(), seed=7, ordered=True).embed_items() for _ in range(2))
    assert np.array_equal(one, two)


def test_too_little_to_hold_anything_out_is_fitted_with_the_defaults() -> None:
    assert fit_memory(of([0], [1]), seed=7, ordered=False).embed_items().shape[0] == 3


@pytest.mark.parametrize("items", [0, 3])
def test_nothing_to_learn_from_is_said(items: int) -> None:
    with pytest.raises(UntrainableInput, match="hold no touch"):
        fit_memory(of([], items=items), seed=7, ordered=True)


def test_what_trials_shared_goes_with_their_bench() -> None:
    bench = Bench(hold_out(blocks(), ordered=False, seed=7), 3, 7, lambda _: None)
    bench.trial(MemoryConfig(embedding_size=2))
    shared = weakref.ref(bench.workshop)
    gc.disable()
    try:
        del bench
        assert shared() is None, "spaces are large, and must not wait for the garbage collector"
    finally:
        gc.enable()
