"""A person as several fading memories of what they touched, one for each half-life.

A bank of exponential moving averages is a linear recurrent encoder with fixed decays (the diagonal state space of S4D,
Gu et al. 2022, without its training); every position of a history has its state after one pass.
"""

# U users, B of a block, T touches, C of a chunk, H half-lives, D dimensions, P positions of a chunk, I items

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from models.two_tower.memory.histories import Floats, Histories, Ints

BLOCK, CHUNK = 64, 64


@dataclass(frozen=True)
class Lessons:
    """What people remembered just before they touched something for the first time."""

    states_PK: Tensor  # K = H * D
    items_P: Tensor


def latest(histories: Histories, inputs_ID: Floats, half_lives: tuple[float, ...]) -> Floats:
    """[U, H * D] each user's memories after their last touch, each of length 1; zero without a touch."""
    ages_E = np.repeat(histories.counts, histories.counts) - 1 - histories.places
    shape = (len(histories.counts), histories.item_count)
    memories = [
        csr_matrix(((0.5 ** (ages_E / life)).astype(np.float32), (histories.users, histories.items)), shape) @ inputs_ID
        for life in half_lives
    ]
    return np.concatenate([_unit(memory_UD) for memory_UD in memories], axis=1)


def _unit(memory_UD: Floats) -> Floats:
    lengths_U1 = np.linalg.norm(memory_UD, axis=1, keepdims=True)
    return np.asarray(memory_UD / np.maximum(lengths_U1, 1e-6), np.float32)


def lessons(histories: Histories, inputs_ID: Floats, half_lives: tuple[float, ...]) -> Iterator[Lessons]:
    """Every first touch with a past, some thousands at a time: the same memories as `latest`, at each moment."""
    inputs_ID_, decay_H = torch.from_numpy(inputs_ID), 0.5 ** (1 / torch.tensor(half_lives))
    first_touches, by_length = histories.first_touches, np.argsort(-histories.counts, kind="stable")
    for start in range(0, len(by_length), BLOCK):
        users = by_length[start : start + BLOCK]
        if histories.counts[users[0]] > 1:
            yield from _block(histories, users, first_touches, inputs_ID_, decay_H)


def _block(
    histories: Histories, users: Ints, first_touches: np.ndarray, inputs_ID: Tensor, decay_H: Tensor
) -> Iterator[Lessons]:
    """A block of users, chunk after chunk of their histories; the state at a chunk's start is carried over."""
    longest = int(histories.counts[users[0]])
    touch_BT = histories.offsets[users, None] + np.arange(longest)
    there_BT = np.arange(longest) < histories.counts[users, None]
    touch_BT = np.where(there_BT, touch_BT, 0)
    item_BT, there = torch.from_numpy(histories.items[touch_BT]), torch.from_numpy(there_BT)
    wanted_BT = there & torch.from_numpy(first_touches[touch_BT] & (np.arange(longest) > 0))
    state_BHD = torch.zeros(len(users), len(decay_H), inputs_ID.shape[1])
    for at in range(0, longest, CHUNK):
        some = slice(at, at + CHUNK)
        input_BCD = inputs_ID[item_BT[:, some]] * there[:, some, None]
        states_BCHD, state_BHD = _advance(state_BHD, input_BCD, decay_H)
        wanted_BC = wanted_BT[:, some]
        states_PHD = F.normalize(states_BCHD[wanted_BC], dim=-1, eps=1e-6)
        yield Lessons(states_PHD.flatten(1), item_BT[:, some][wanted_BC])


def _advance(state_BHD: Tensor, input_BCD: Tensor, decay_H: Tensor) -> tuple[Tensor, Tensor]:
    """The states just before each touch of a chunk `[B, C, H, D]`, and the one after its last."""
    touches = input_BCD.shape[1]
    moment = torch.arange(touches + 1)
    lag = moment[:, None] - 1 - moment[None, :-1]
    weight_HMC = torch.where(lag >= 0, decay_H[:, None, None] ** lag.clamp(min=0), 0.0)
    carried_BMHD = (decay_H[:, None] ** moment).T[None, :, :, None] * state_BHD[:, None]
    states_BMHD = carried_BMHD + torch.einsum("hmc,bcd->bmhd", weight_HMC, input_BCD)
    return states_BMHD[:, :-1], states_BMHD[:, -1]
