"""Learned bags beside the item space, with numbers that a person can check."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from tastefeed.models.two_tower.memory import MemoryConfig, fit, fit_memory
from tastefeed.models.two_tower.memory.bag import batches, share_of_rate
from tastefeed.models.two_tower.memory.config import BagConfig
from tastefeed.models.two_tower.memory.fitting import by_bag, by_space, space_of
from tastefeed.models.two_tower.memory.graph import Sparse
from tastefeed.models.two_tower.memory.softmax import BLOCK, log_sum_exp
from tastefeed.models.two_tower.memory.tower import mixed
from tastefeed.models.two_tower.memory.trials import Trial
from tastefeed.models.two_tower.memory.tricks import going_without
from tests.models.paths import blocks, of, unseen_scores

CONFIG = MemoryConfig(readout="bag", embedding_size=3, bag=BagConfig(embedding_size=3))


def test_the_softmax_in_blocks_is_the_softmax() -> None:
    """Also its gradients, within half precision."""
    torch.manual_seed(0)
    users, items = (torch.nn.functional.normalize(torch.randn(count, 8)) for count in (BLOCK + 30, 40))
    weights = torch.rand(len(users))
    found = []
    for total in (
        lambda u, i: log_sum_exp(u, i, weights, 0.2),
        lambda u, i: (weights * torch.logsumexp(u @ i.T / 0.2, dim=1)).sum(),
    ):
        u, i = users.clone().requires_grad_(), items.clone().requires_grad_()
        value = total(u, i)
        (2 * value).backward()
        found.append([part.detach().numpy() for part in (value, u.grad, i.grad)])
    for ours, theirs in zip(*found, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02, abs=0.02 * float(np.abs(theirs).max()))


def test_a_sparse_matrix_passes_gradients_through_its_transpose() -> None:
    matrix = csr_matrix(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]))
    dense = torch.ones(3, 2, requires_grad=True)
    (Sparse(matrix) @ dense).sum().backward()
    assert dense.grad.tolist() == [[1, 1], [2, 2], [3, 3]]
    assert (Sparse(matrix).T @ torch.ones(2, 1)).tolist() == [[1], [2], [3]]


def test_everyone_comes_once_before_anyone_comes_again() -> None:
    steps = list(batches(users=10, parts=3, steps=7, seed=1))
    assert len(steps) == 7
    for begin in (0, 3):
        assert sorted(np.concatenate(steps[begin : begin + 3]).tolist()) == list(range(10))


def test_steps_grow_and_then_shrink() -> None:
    shares = [share_of_rate(step, 100) for step in (0, 19, 60, 100)]
    assert shares[0] == pytest.approx(0.05)
    assert max(shares) == shares[1] > 0.9
    assert shares[3] == pytest.approx(0.03)


@pytest.mark.parametrize("without", [(), ("beginning",)])
def test_a_learned_bag_finds_the_block_that_a_person_is_of(without: tuple[str, ...]) -> None:
    histories = blocks()
    best = np.argsort(-unseen_scores(fit(histories, going_without(CONFIG, without), seed=7), histories), axis=1)[:, :2]
    assert (best % 2 == np.arange(60)[:, None] % 2).mean() > 0.9  # a guess: one half


def test_a_mix_of_two_towers_is_the_weighed_sum_of_what_they_say_in_standard_deviations() -> None:
    histories, space = blocks(), space_of(blocks(), CONFIG, seed=7)
    parts = by_bag(histories, space, CONFIG, seed=7), by_space(space, CONFIG)
    says = [tower.reader(histories) @ tower.items_IV[:, :-1].T for tower in parts]
    wanted = sum(share * said / said.std(axis=1, keepdims=True) for share, said in zip((0.7, 0.3), says, strict=True))
    tower = mixed(*parts, CONFIG, share=0.7)
    said = tower.scores(histories)
    assert said == pytest.approx(wanted, abs=1e-3)


def test_strangers_get_what_is_popular_and_the_seed_repeats() -> None:
    histories = of([0, 1], [0, 1, 2], [2, 1], [2, 1])
    one, two = (fit(histories, CONFIG, seed=7) for _ in range(2))
    assert one.scores(of([])).argmax() == 1
    assert np.array_equal(one.embed_items(), two.embed_items())
    assert not np.array_equal(one.embed_items(), fit(histories, CONFIG, seed=8).embed_items())


@pytest.mark.parametrize("readout", ["space", "ease"])
def test_a_trick_is_left_out_whatever_the_bag_is_beside(readout: str) -> None:
    tried: list[Trial] = []
    fit_memory(
        blocks(), k=2, seed=7, ordered=False, readouts=(readout, "bag"), without=["beginning"], on_trial=tried.append
    )
    assert "bag" in {trial.config.readout for trial in tried}
    assert {trial.config.bag.begins for trial in tried} == {"noise"}


def test_bags_are_tried_where_order_tells_nothing() -> None:
    tried: dict[bool, list[str]] = {False: [], True: []}
    for ordered, names in tried.items():
        fit_memory(
            blocks(),
            seed=7,
            ordered=ordered,
            readouts=["space", "bag", "ridge"],
            on_trial=lambda trial, names=names: names.append(trial.config.readout),
        )
    assert tried[False][-4:] == ["bag"] * 4
    assert "bag" not in tried[True]
