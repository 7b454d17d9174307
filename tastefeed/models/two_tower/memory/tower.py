"""A fitted memory two-tower: every score is the inner product of a user vector and an item vector."""

# U users, B of a batch, T touches of a window, I items, D embedding size, V columns of the vectors

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from tastefeed.models.two_tower.memory.attention import Attention
from tastefeed.models.two_tower.memory.config import MemoryConfig
from tastefeed.models.two_tower.memory.histories import Floats, Histories
from tastefeed.models.two_tower.memory.memories import latest
from tastefeed.models.two_tower.memory.windows import NOTHING, latest_window

USERS_AT_ONCE = 256


@dataclass(frozen=True)
class EpochResult:
    """One pass of the training over all lessons; `ndcg` is NaN where nothing was held out to measure by."""

    epoch: int
    loss: float
    learning_rate: float
    ndcg: float


class Reader(Protocol):
    """Makes a vector of what a person touched."""

    def __call__(self, histories: Histories) -> Floats:
        """[U, V - 1]."""
        ...


@dataclass(frozen=True)
class Sums:
    """What touches add up to, as several fading memories."""

    inputs_ID: Floats
    half_lives: tuple[float, ...]

    def __call__(self, histories: Histories) -> Floats:
        """Zero for whoever touched nothing."""
        return latest(histories, self.inputs_ID, self.half_lives)


@dataclass(frozen=True)
class Mixed:
    """Two readers side by side, whose scores of all items spread alike for each person before they are weighed."""

    readers: tuple[Reader, Reader]
    spreads_DD: tuple[Floats, Floats]  # covariance of the items that each is compared with
    shares: tuple[float, float]

    def __call__(self, histories: Histories) -> Floats:
        """Zero for whoever touched nothing."""
        parts = []
        for reader, spread_DD, share in zip(self.readers, self.spreads_DD, self.shares, strict=True):
            vectors_UD = reader(histories)
            variance_U1 = np.einsum("ud,ud->u", vectors_UD @ spread_DD, vectors_UD)[:, None]
            parts.append(share * vectors_UD / np.sqrt(np.maximum(variance_U1, 1e-12)))
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Attended:
    """What attention makes of the last touches."""

    attention: Attention
    window: int

    @torch.no_grad()
    def __call__(self, histories: Histories) -> Floats:
        """Zero for whoever touched nothing."""
        self.attention.eval()
        items_UT = latest_window(histories, self.window)
        vectors_UD = torch.zeros(len(items_UT), self.attention.items_ID.shape[1])
        touches_U = (items_UT != NOTHING).sum(dim=1)
        for some_B in torch.argsort(touches_U).split(USERS_AT_ONCE):
            last_B = touches_U[some_B] - 1
            vectors_BTD = self.attention(items_UT[some_B, : max(1, int(last_B.max()) + 1)])
            vectors_UD[some_B] = vectors_BTD[torch.arange(len(some_B)), last_B] * (last_B >= 0)[:, None]
        self.attention.train()
        return np.asarray(vectors_UD.numpy(), np.float32)


@dataclass(frozen=True)
class MemoryTwoTower:
    """Item vectors, and the encoder that makes a user vector of a history."""

    config: MemoryConfig
    items_IV: Floats
    reader: Reader
    epochs: tuple[EpochResult, ...] = ()

    def scores(self, histories: Histories) -> Floats:
        """[U, I] of every user and item, the higher, the better; an empty history ranks by popularity."""
        return self.embed_users(histories) @ self.items_IV.T

    def embed_users(self, histories: Histories) -> Floats:
        """[U, V] of any history over the same items; an empty one ranks by popularity."""
        read_UV = self.reader(histories)
        return np.concatenate([read_UV, np.ones((len(read_UV), 1), np.float32)], axis=1)

    def embed_items(self) -> Floats:
        """[I, V]; the last column is an item's own popularity."""
        return self.items_IV


def mixed(one: MemoryTwoTower, other: MemoryTwoTower, config: MemoryConfig, *, share: float) -> MemoryTwoTower:
    """A tower whose scores are a weighed sum of those of two; `share` is the first one's, as is the popularity."""
    items_ID = one.items_IV[:, :-1], other.items_IV[:, :-1]
    spreads_DD = covariance(items_ID[0]), covariance(items_ID[1])
    reader = Mixed((one.reader, other.reader), spreads_DD, (share, 1 - share))
    items_IV = np.concatenate([*items_ID, one.items_IV[:, -1:]], axis=1)
    return MemoryTwoTower(config, items_IV, reader, one.epochs)


def covariance(items_ID: Floats) -> Floats:
    """[D, D]."""
    centred_ID = items_ID - items_ID.mean(axis=0)
    return np.asarray(centred_ID.T @ centred_ID / len(items_ID), np.float32)


def of_attention(attention: Attention, config: MemoryConfig) -> MemoryTwoTower:
    """The tower that it is at this moment of its training."""
    with torch.no_grad():
        items_IV = torch.cat([attention.items_ID, attention.bias_I[:, None]], dim=1).numpy()
    return MemoryTwoTower(config, items_IV, Attended(attention, config.attention.window))
