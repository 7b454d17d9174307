"""User states: exponentially decayed sums of item vectors, one for each half-life.

A bank of exponential moving averages is a linear recurrent encoder with fixed decays (the diagonal state space of S4D,
Gu et al. 2022, without its training); every position of a history has its state after one pass.

`Ridge` regresses the item of each first interaction on the states before it: the closed form of a next-item model with
every position a training example. With one state that never decays, it is a low-rank relative of SLIM and EASE (Ning &
Karypis 2011; Steck 2019).
"""

# U users, B of a block, T interactions, C of a chunk, H half-lives, D dimensions, P positions, K state columns, I items

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from models.two_tower.csr_interactions import Floats, Interactions, Ints

BLOCK, CHUNK = 64, 64


@dataclass(frozen=True)
class Examples:
    """User states just before first interactions, and the items of these interactions."""

    states_PK: Tensor  # K = H * D
    items_P: Tensor


def latest(interactions: Interactions, inputs_ID: Floats, half_lives: tuple[float, ...]) -> Floats:
    """[U, H * D] each user's states after the last interaction, each of length 1; zero for an empty history."""
    ages_E = np.repeat(interactions.counts, interactions.counts) - 1 - interactions.places
    shape = (len(interactions.counts), interactions.item_count)
    states = [
        csr_matrix(((0.5 ** (ages_E / life)).astype(np.float32), (interactions.users, interactions.items)), shape)
        @ inputs_ID
        for life in half_lives
    ]
    return np.concatenate([_unit(state_UD) for state_UD in states], axis=1)


def _unit(state_UD: Floats) -> Floats:
    lengths_U1 = np.linalg.norm(state_UD, axis=1, keepdims=True)
    return np.asarray(state_UD / np.maximum(lengths_U1, 1e-6), np.float32)


def examples_of(interactions: Interactions, inputs_ID: Floats, half_lives: tuple[float, ...]) -> Iterator[Examples]:
    """Every first interaction with a history, in parts: the same states as `latest`, at each moment."""
    inputs_ID_, decay_H = torch.from_numpy(inputs_ID), 0.5 ** (1 / torch.tensor(half_lives))
    is_first, by_length = interactions.is_first, np.argsort(-interactions.counts, kind="stable")
    for start in range(0, len(by_length), BLOCK):
        users = by_length[start : start + BLOCK]
        if interactions.counts[users[0]] > 1:
            yield from _block(interactions, users, is_first, inputs_ID_, decay_H)


def _block(
    interactions: Interactions, users: Ints, is_first: np.ndarray, inputs_ID: Tensor, decay_H: Tensor
) -> Iterator[Examples]:
    """A block of users, chunk after chunk of their interactions; the state at a chunk's start is carried over."""
    longest = int(interactions.counts[users[0]])
    event_BT = interactions.offsets[users, None] + np.arange(longest)
    there_BT = np.arange(longest) < interactions.counts[users, None]
    event_BT = np.where(there_BT, event_BT, 0)
    item_BT, there = torch.from_numpy(interactions.items[event_BT]), torch.from_numpy(there_BT)
    wanted_BT = there & torch.from_numpy(is_first[event_BT] & (np.arange(longest) > 0))
    state_BHD = torch.zeros(len(users), len(decay_H), inputs_ID.shape[1])
    for at in range(0, longest, CHUNK):
        some = slice(at, at + CHUNK)
        input_BCD = inputs_ID[item_BT[:, some]] * there[:, some, None]
        states_BCHD, state_BHD = _advance(state_BHD, input_BCD, decay_H)
        wanted_BC = wanted_BT[:, some]
        states_PHD = F.normalize(states_BCHD[wanted_BC], dim=-1, eps=1e-6)
        yield Examples(states_PHD.flatten(1), item_BT[:, some][wanted_BC])


def _advance(state_BHD: Tensor, input_BCD: Tensor, decay_H: Tensor) -> tuple[Tensor, Tensor]:
    """The states just before each interaction of a chunk `[B, C, H, D]`, and the one after its last."""
    width = input_BCD.shape[1]
    moment = torch.arange(width + 1)
    lag = moment[:, None] - 1 - moment[None, :-1]
    weight_HMC = torch.where(lag >= 0, decay_H[:, None, None] ** lag.clamp(min=0), 0.0)
    carried_BMHD = (decay_H[:, None] ** moment).T[None, :, :, None] * state_BHD[:, None]
    states_BMHD = carried_BMHD + torch.einsum("hmc,bcd->bmhd", weight_HMC, input_BCD)
    return states_BMHD[:, :-1], states_BMHD[:, -1]


class Ridge:
    """Sums that every penalty can be solved from."""

    def __init__(self, examples: Iterable[Examples], *, columns: int, items: int) -> None:
        """Go through the training examples once; the last column is a constant, and so an item's own popularity."""
        self._gram_KK = torch.zeros(columns + 1, columns + 1, dtype=torch.float64)
        self._sums_IK = torch.zeros(items, columns + 1)
        for part in examples:
            states_PK = torch.cat([part.states_PK, torch.ones(len(part.items_P), 1)], dim=1)
            self._gram_KK += states_PK.T @ states_PK
            self._sums_IK.index_add_(0, part.items_P, states_PK)

    def solve(self, ridge: float) -> Floats:
        """[I, K + 1] the item vectors, the constant's column last."""
        gram_KK = self._gram_KK + ridge * torch.eye(len(self._gram_KK), dtype=torch.float64)
        factor_KK = torch.linalg.cholesky(gram_KK).float()
        return np.asarray(torch.cholesky_solve(self._sums_IK.T, factor_KK).T.contiguous().numpy(), np.float32)
