"""A learned bag of items: a user is the normalised sum of item vectors, trained with a softmax over all items.

One vector an item, compared by cosine with a temperature (Wu et al. 2022, "On the effectiveness of sampled softmax
loss"). A step scores its users against all items, once for each user and not for each pair.
"""

# I items, U users, D dimensions, B users of a step

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.two_tower.collaborative.config import BagConfig
from models.two_tower.collaborative.softmax import log_sum_exp
from models.two_tower.collaborative.sparse import Sparse
from models.two_tower.interactions import Floats, Ints
from models.two_tower.training_loop import Training, one_cycle, run

SPREAD = 0.1
"""Deviation of the entries of item vectors before training."""


def train_bag(pairs: csr_matrix, start_ID: Floats, config: BagConfig, *, seed: int) -> tuple[Floats, Floats]:
    """[I, D] what an interaction with each item adds to a user, and [I, D] unit vectors to compare users with."""
    users_I = np.maximum(np.asarray(pairs.sum(axis=0)).ravel(), 1)
    weight_I1 = torch.from_numpy(users_I**-0.5).float()[:, None]
    module = Items(torch.from_numpy(start_ID / start_ID.std() * SPREAD).float())
    parts = -(-pairs.shape[0] // config.batch_size)
    steps = max(config.epochs * parts, config.min_steps)

    def losses(_: int) -> Iterator[tuple[float, Tensor]]:
        for step, some_B in enumerate(batches(pairs.shape[0], parts, steps, seed)):
            yield step / steps, batch_loss(module.items_ID, pairs[some_B], weight_I1, config.temperature)

    optimizer = torch.optim.Adam(module.parameters(), config.learning_rate, betas=(0.9, 0.99))
    run(module, losses, Training(optimizer, config.learning_rate, 1, one_cycle), None, lambda _: None)
    items_ID = module.items_ID.detach()
    return (items_ID * weight_I1).numpy(), normalize(items_ID).numpy()


class Items(nn.Module):
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
