"""Interactions cut into windows, the interactions that the transformer encodes at once."""

# U users, E interactions, W windows, T slots of a window

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.two_tower.interactions import Interactions

EMPTY = -1


@dataclass(frozen=True)
class Windows:
    """Item ids from left to right, `EMPTY` after the last one."""

    items_WT: Tensor
    next_WT: Tensor  # the next item, where it is a first interaction, else EMPTY

    def to(self, device: torch.device) -> "Windows":
        """The same on another device."""
        return Windows(self.items_WT.to(device), self.next_WT.to(device))

    def batches(self, size: int, generator: torch.Generator) -> Iterator["Windows"]:
        """All windows once in random order, about `size` interactions at a time, similar lengths together."""
        lengths_W = (self.items_WT != EMPTY).sum(dim=1)
        order_W = torch.argsort(lengths_W + 8 * torch.rand(len(lengths_W), generator=generator), descending=True)
        batch_W = torch.cumsum(lengths_W[order_W], dim=0) // size
        parts = order_W.split(torch.bincount(batch_W).tolist())
        for at in torch.randperm(len(parts), generator=generator).tolist():
            if len(parts[at]):
                seen = slice(0, int(lengths_W[parts[at]].max()))
                yield Windows(self.items_WT[parts[at], seen], self.next_WT[parts[at], seen])


def windows_of(interactions: Interactions, length: int, random: np.random.Generator) -> Windows:
    """Every interaction but each user's last, in windows with random starts; those without a target are left out."""
    counts_U, users_E, places_E = interactions.counts, interactions.users, interactions.places
    asked = np.flatnonzero(places_E < counts_U[users_E] - 1)
    shift_U = np.where(counts_U > length + 1, random.integers(length, size=len(counts_U)), 0)
    shifted = places_E[asked] + shift_U[users_E[asked]]
    first = (places_E[asked] == 0) | (shifted % length == 0)
    window = np.cumsum(first) - 1
    slot = np.arange(len(asked)) - np.flatnonzero(first)[window]
    new = interactions.is_first[asked + 1]
    items_WT, next_WT = np.full((2, int(first.sum()), length), EMPTY)
    items_WT[window, slot] = interactions.items[asked]
    next_WT[window, slot] = np.where(new, interactions.items[asked + 1], EMPTY)
    useful_W = (next_WT != EMPTY).any(axis=1)
    return Windows(torch.from_numpy(items_WT[useful_W]), torch.from_numpy(next_WT[useful_W]))


def latest_window(interactions: Interactions, length: int) -> Tensor:
    """[U, T] the last items of each user; an empty history is `EMPTY` alone."""
    kept_U = np.minimum(interactions.counts, length)
    items_UT = np.full((len(kept_U), max(1, int(kept_U.max(initial=0)))), EMPTY)
    there_UT = np.arange(items_UT.shape[1]) < kept_U[:, None]
    event_UT = (interactions.offsets[1:] - kept_U)[:, None] + np.arange(items_UT.shape[1])
    items_UT[there_UT] = interactions.items[event_UT[there_UT]]
    return torch.from_numpy(items_UT)
