"""A bag of items that learn: a person is the sum of what they touched, and a softmax over all items teaches.

One vector an item, compared by cosine with a temperature (Wu et al. 2022, "On the effectiveness of sampled softmax
loss"). A step scores its people against all items, once for each person and not for each pair.
"""

# I items, U users, D dimensions, B users of a step

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch.nn.functional import normalize

from models.two_tower.memory.config import BagConfig
from models.two_tower.memory.graph import Sparse
from models.two_tower.memory.histories import Floats, Ints
from models.two_tower.memory.softmax import log_sum_exp

SPREAD = 0.1
"""Deviation of the entries of item vectors before training."""
WARM_UP_STEPS, LAST_SHARE = 20, 0.03


def learn_bag(pairs: csr_matrix, start_ID: Floats, config: BagConfig, *, seed: int) -> tuple[Floats, Floats]:
    """[I, D] what a touch of each item adds to a person, and [I, D] what people are compared with, of length 1."""
    users_I = np.maximum(np.asarray(pairs.sum(axis=0)).ravel(), 1)
    touch_I1 = torch.from_numpy(users_I**-0.5).float()[:, None]
    items_ID = torch.nn.Parameter(torch.from_numpy(start_ID / start_ID.std() * SPREAD).float())
    optimizer = torch.optim.Adam([items_ID], config.learning_rate, betas=(0.9, 0.99))
    parts = -(-pairs.shape[0] // config.batch_size)
    steps = max(config.epochs * parts, config.fewest_steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_rate(step, steps))
    for some_B in batches(pairs.shape[0], parts, steps, seed):
        bag, weights_B = Sparse(pairs[some_B]), torch.from_numpy(np.diff(pairs[some_B].indptr)).float()
        users_BD, outputs_ID = normalize(bag @ (items_ID * touch_I1)), normalize(items_ID)
        touched = ((bag @ outputs_ID) * users_BD).sum() / config.temperature
        everything = log_sum_exp(users_BD, outputs_ID, weights_B, config.temperature)
        loss = (everything - touched) / weights_B.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return (items_ID * touch_I1).numpy(), normalize(items_ID).numpy()


def batches(users: int, parts: int, steps: int, seed: int) -> Iterator[Ints]:
    """[B] users of each step; all users come once before anyone comes again."""
    random, left = np.random.default_rng(seed), steps
    while left > 0:
        yield from np.array_split(random.permutation(users), parts)[:left]
        left -= parts


def share_of_rate(step: int, steps: int) -> float:
    """Of the highest step: rises for a while, and falls as a cosine does."""
    fallen = LAST_SHARE + (1 - LAST_SHARE) * (1 + np.cos(np.pi * step / steps)) / 2
    return float(min(1.0, (step + 1) / WARM_UP_STEPS) * fallen)
