"""A learned bag of items: a user is the normalized sum of item vectors, trained with a softmax over all items.

One vector an item, compared by cosine with a temperature (Wu et al. 2022, "On the effectiveness of sampled softmax
loss"). A step scores its users against all items, once for each user and not for each pair.
The softmax makes its gradients in the same pass: the scores of 2,048 users and 40,000 items would be 330 MB in single
precision, and again for their gradient. Here some hundred users at a time are scored in half precision, and only two
sums of each are kept.
"""

# I items, U users, D dimensions, B users of a step, b of a block

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn.functional import normalize

from contracts.errors import UntrainableInput
from models.two_tower.collaborative.collaborative_config import BagConfig
from models.two_tower.collaborative.svd import Sparse
from models.two_tower.csr_interactions import Floats, Ints
from models.two_tower.training_loop import Training, half, one_cycle, run

SPREAD = 0.1
"""Deviation of the entries of item vectors before training."""


def train_bag(pairs: csr_matrix, start_ID: Floats, config: BagConfig, *, seed: int) -> tuple[Floats, Floats]:
    """[I, D] what an interaction with each item adds to a user, and [I, D] unit vectors to compare users with. Raises
    `UntrainableInput` where all items begin with the same vector."""
    deviation = start_ID.std()
    if not deviation:
        raise UntrainableInput(
            f"a bag needs items that differ, and all {len(start_ID)} begin alike; use another encoder"
        )
    users_I = np.maximum(np.asarray(pairs.sum(axis=0)).ravel(), 1)
    weight_I1 = torch.from_numpy(users_I**-0.5).float()[:, None]
    module = ItemVectors(torch.from_numpy(start_ID / deviation * SPREAD).float())
    parts = -(-pairs.shape[0] // config.batch_size)
    steps = max(config.epochs * parts, config.min_steps)

    def losses(_: int) -> Iterator[tuple[float, Tensor]]:
        for step, some_B in enumerate(batches(pairs.shape[0], parts, steps, seed)):
            yield step / steps, batch_loss(module.items_ID, pairs[some_B], weight_I1, config.temperature)

    optimizer = torch.optim.Adam(module.parameters(), config.learning_rate, betas=(0.9, 0.99))
    run(module, losses, Training(optimizer, config.learning_rate, 1, one_cycle), None, lambda _: None)
    items_ID = module.items_ID.detach()
    return (items_ID * weight_I1).numpy(), normalize(items_ID).numpy()


class ItemVectors(nn.Module):
    """One vector an item."""

    def __init__(self, start_ID: Tensor) -> None:
        """Before training."""
        super().__init__()
        self.items_ID = nn.Parameter(start_ID)


def batch_loss(items_ID: Tensor, pairs: csr_matrix, weight_I1: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of a softmax over all items, mean over the interactions of these users."""
    bag, counts_B = Sparse(pairs), torch.from_numpy(np.diff(pairs.indptr)).float()
    users_BD, outputs_ID = normalize(bag @ (items_ID * weight_I1)), normalize(items_ID)
    positive = ((bag @ outputs_ID) * users_BD).sum() / temperature
    return (log_sum_exp(users_BD, outputs_ID, counts_B, temperature) - positive) / counts_B.sum().clamp(min=1)


def batches(users: int, parts: int, steps: int, seed: int) -> Iterator[Ints]:
    """[B] users of each step; each user comes once before any comes again."""
    random, left = np.random.default_rng(seed), steps
    while left > 0:
        yield from np.array_split(random.permutation(users), parts)[:left]
        left -= parts


BLOCK = 512


def log_sum_exp(users_BD: Tensor, items_ID: Tensor, weights_B: Tensor, temperature: float) -> Tensor:
    """sum_B w_B log sum_I exp(u_B . v_I / t) of unit vectors: bounded by 1 / t, so that no maximum need be sought."""
    total: Tensor = LogSumExp.apply(users_BD, items_ID, weights_B, temperature)  # type: ignore[no-untyped-call]
    return total


class LogSumExp(torch.autograd.Function):
    """`log_sum_exp` with its gradients."""

    @staticmethod
    def forward(context: Any, users_BD: Tensor, items_ID: Tensor, weights_B: Tensor, temperature: float) -> Tensor:
        """The sum; gradients wait for `backward`."""
        kind, ones_I1 = half(users_BD.device), torch.ones(len(items_ID), 1)
        left_BD = torch.cat([users_BD / temperature, torch.ones(len(users_BD), 1)], dim=1).to(kind)
        right_DI = torch.cat([items_ID, -ones_I1 / temperature], dim=1).to(kind).T
        summed_ID = torch.cat([items_ID, ones_I1], dim=1).to(kind)  # the last column sums the exponentials
        of_users_BD, of_items_ID, total = torch.empty_like(users_BD), torch.zeros_like(items_ID), 0.0
        for some_b in torch.arange(len(users_BD)).split(BLOCK):
            exp_bI = (left_BD[some_b] @ right_DI).exp_()
            sums_bD = (exp_bI @ summed_ID).float()
            share_b1 = weights_B[some_b, None] / sums_bD[:, -1:] / temperature
            of_users_BD[some_b] = sums_bD[:, :-1] * share_b1
            of_items_ID += (exp_bI.T @ (users_BD[some_b] * share_b1).to(kind)).float()
            total += float((weights_B[some_b] * (sums_bD[:, -1].log() + 1 / temperature)).sum())
        context.save_for_backward(of_users_BD, of_items_ID)
        return torch.tensor(total)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The gradients of the users and the items."""
        of_users_BD, of_items_ID = context.saved_tensors
        return of_users_BD * gradients[0], of_items_ID * gradients[0], None, None
