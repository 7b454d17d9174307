"""The learned bag of items, with numbers to check by hand."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from contracts.errors import UntrainableInput
from models.two_tower.collaborative.bag_of_items import BLOCK, batches, log_sum_exp
from models.two_tower.collaborative.collaborative_config import BagConfig, CollaborativeConfig
from models.two_tower.collaborative.fit import fit
from models.two_tower.collaborative.svd import Sparse
from tests.models.tiny_interactions import blocks, of, unseen_scores

CONFIG = CollaborativeConfig(encoder="bag", embedding_size=3, bag=BagConfig(embedding_size=3))


def test_the_softmax_in_blocks_is_the_softmax() -> None:
    """Also its gradients, within half precision."""
    torch.manual_seed(0)
    users, items = (torch.nn.functional.normalize(torch.randn(count, 8)) for count in (BLOCK + 30, 40))
    weights = torch.rand(len(users))
    results = []
    for total in (
        lambda u, i: log_sum_exp(u, i, weights, 0.2),
        lambda u, i: (weights * torch.logsumexp(u @ i.T / 0.2, dim=1)).sum(),
    ):
        u, i = users.clone().requires_grad_(), items.clone().requires_grad_()
        value = total(u, i)
        (2 * value).backward()
        results.append([part.detach().numpy() for part in (value, u.grad, i.grad)])
    for ours, theirs in zip(*results, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02, abs=0.02 * float(np.abs(theirs).max()))


def test_a_sparse_matrix_passes_gradients_through_its_transpose() -> None:
    matrix = csr_matrix(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]))
    dense = torch.ones(3, 2, requires_grad=True)
    (Sparse(matrix) @ dense).sum().backward()
    assert dense.grad.tolist() == [[1, 1], [2, 2], [3, 3]]
    assert (Sparse(matrix).T @ torch.ones(2, 1)).tolist() == [[1], [2], [3]]


def test_each_user_comes_once_before_any_user_comes_again() -> None:
    steps = list(batches(users=10, parts=3, steps=7, seed=1))
    assert len(steps) == 7
    for begin in (0, 3):
        assert sorted(np.concatenate(steps[begin : begin + 3]).tolist()) == list(range(10))


@pytest.mark.parametrize("item_init", ["svd", "random"])
def test_a_learned_bag_finds_the_block_of_a_user(item_init: str) -> None:
    interactions, config = blocks(), CONFIG.changed({"bag": {"item_init": item_init}})
    best = np.argsort(-unseen_scores(fit(interactions, config, seed=7), interactions), axis=1)[:, :2]
    assert (best % 2 == np.arange(60)[:, None] % 2).mean() > 0.9  # a guess: one half


@pytest.mark.parametrize(("history", "items"), [([0], 1), ([0, 1], 2)])
def test_items_that_are_all_alike_are_refused(history: list[int], items: int) -> None:
    """The second has one user, who clicked both items."""
    with pytest.raises(UntrainableInput, match=f"all {items} begin alike; use another encoder"):
        fit(of(history, items=items), CONFIG, seed=7)


def test_an_empty_history_ranks_by_popularity_and_the_seed_repeats() -> None:
    interactions = of([0, 1], [0, 1, 2], [2, 1], [2, 1])
    one, two = (fit(interactions, CONFIG, seed=7) for _ in range(2))
    assert one.scores(of([])).argmax() == 1
    assert np.array_equal(one.items_IV, two.items_IV)
    assert not np.array_equal(one.items_IV, fit(interactions, CONFIG, seed=8).items_IV)
