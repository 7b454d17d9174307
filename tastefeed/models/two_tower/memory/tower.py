"""A fitted memory two-tower: an inner product says what a person wants next."""

# U users, K columns of the memories, B of a batch, I items, D dimensions of the item space, V columns of the vectors

from dataclasses import dataclass

import numpy as np
import torch

from tastefeed.models.two_tower.memory.config import MemoryConfig
from tastefeed.models.two_tower.memory.histories import Floats, Histories
from tastefeed.models.two_tower.memory.memories import latest
from tastefeed.models.two_tower.memory.network import Network

USERS_AT_ONCE = 8192


@dataclass(frozen=True)
class EpochResult:
    """One pass of the training over all lessons; `ndcg` is NaN where nothing was held out to measure by."""

    epoch: int
    loss: float
    learning_rate: float
    ndcg: float


@dataclass(frozen=True)
class MemoryTwoTower:
    """Item vectors, and what makes a user vector of a history."""

    config: MemoryConfig
    inputs_ID: Floats
    items_IV: Floats
    network: Network | None = None
    epochs: tuple[EpochResult, ...] = ()

    def embed_users(self, histories: Histories) -> Floats:
        """[U, V] of any history over the same items; an empty one gives the most popular items."""
        vectors_UV = latest(histories, self.inputs_ID, self.config.half_lives)
        if self.network is not None:
            vectors_UV = _read(self.network, torch.from_numpy(vectors_UV))
        return np.concatenate([vectors_UV, np.ones((len(vectors_UV), 1), np.float32)], axis=1)

    def embed_items(self) -> Floats:
        """[I, V]."""
        return self.items_IV


def of_network(network: Network, inputs_ID: Floats, config: MemoryConfig) -> MemoryTwoTower:
    """The tower that a network is at this moment of its training; the last column is an item's own popularity."""
    with torch.no_grad():
        items_IV = torch.cat([network.items_ID, network.bias_I[:, None]], dim=1).numpy()
    return MemoryTwoTower(config, inputs_ID, items_IV, network)


@torch.no_grad()
def _read(network: Network, states_UK: torch.Tensor) -> Floats:
    network.eval()
    vectors_UV = torch.cat([network(states_BK) for states_BK in states_UK.split(USERS_AT_ONCE)])
    network.train()
    return np.asarray(vectors_UV.numpy(), np.float32)
