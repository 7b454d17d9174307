"""Histories cut into windows, which are what an attention tower can see at once."""

# U users, E touches, W windows, T touches of a window

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.two_tower.memory.histories import Histories

NOTHING = -1


@dataclass(frozen=True)
class Windows:
    """Touches from left to right, and after the last one `NOTHING`."""

    items_WT: Tensor
    next_WT: Tensor  # what was touched next and for the first time, else NOTHING

    def batches(self, touches: int, generator: torch.Generator) -> Iterator["Windows"]:
        """All windows once in random order, some `touches` at a time, with those of about the same length together."""
        lengths_W = (self.items_WT != NOTHING).sum(dim=1)
        order_W = torch.argsort(lengths_W + 8 * torch.rand(len(lengths_W), generator=generator), descending=True)
        batch_W = torch.cumsum(lengths_W[order_W], dim=0) // touches
        parts = order_W.split(torch.bincount(batch_W).tolist())
        for at in torch.randperm(len(parts), generator=generator).tolist():
            if len(parts[at]):
                seen = slice(0, int(lengths_W[parts[at]].max()))
                yield Windows(self.items_WT[parts[at], seen], self.next_WT[parts[at], seen])


def cut(histories: Histories, length: int, random: np.random.Generator) -> Windows:
    """Every touch but the last of each user, in windows that begin anywhere; those that tell nothing are left out."""
    counts_U, users_E, places_E = histories.counts, histories.users, histories.places
    asked = np.flatnonzero(places_E < counts_U[users_E] - 1)
    shift_U = np.where(counts_U > length + 1, random.integers(length, size=len(counts_U)), 0)
    shifted = places_E[asked] + shift_U[users_E[asked]]
    first = (places_E[asked] == 0) | (shifted % length == 0)
    window = np.cumsum(first) - 1
    slot = np.arange(len(asked)) - np.flatnonzero(first)[window]
    new = histories.first_touches[asked + 1]
    items_WT, next_WT = np.full((2, int(first.sum()), length), NOTHING)
    items_WT[window, slot] = histories.items[asked]
    next_WT[window, slot] = np.where(new, histories.items[asked + 1], NOTHING)
    told_W = (next_WT != NOTHING).any(axis=1)
    return Windows(torch.from_numpy(items_WT[told_W]), torch.from_numpy(next_WT[told_W]))


def latest_window(histories: Histories, length: int) -> Tensor:
    """[U, T] the last touches of each user; who has none sees `NOTHING` alone."""
    kept_U = np.minimum(histories.counts, length)
    items_UT = np.full((len(kept_U), max(1, int(kept_U.max(initial=0)))), NOTHING)
    there_UT = np.arange(items_UT.shape[1]) < kept_U[:, None]
    touch_UT = (histories.offsets[1:] - kept_U)[:, None] + np.arange(items_UT.shape[1])
    items_UT[there_UT] = histories.items[touch_UT[there_UT]]
    return torch.from_numpy(items_UT)
