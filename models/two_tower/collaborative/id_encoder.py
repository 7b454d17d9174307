"""A fitted encoder of item ids: item vectors, and what makes a user vector of a history.

A history is summed, read by a transformer, or solved for as in iALS, so that new users have a vector as well (fold-in).
"""

# U users, B of a batch, T slots of a window, I items, D embedding size, V vector size
# U users, B of a block, T items of a history, I items, D dimensions

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.two_tower.catalogue import ItemCatalogue
from models.two_tower.collaborative.collaborative_config import CollaborativeConfig
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.collaborative.user_states import latest
from models.two_tower.csr_interactions import EMPTY, Floats, Interactions, Ints, latest_window

USERS_AT_ONCE = 256


class HistoryReader(Protocol):
    """Makes a user vector of a history."""

    def __call__(self, interactions: Interactions) -> Floats:
        """[U, V - 1], zero for an empty history."""
        ...


@dataclass(frozen=True)
class Sums:
    """Decayed sums of item vectors, one for each half-life."""

    inputs_ID: Floats
    half_lives: tuple[float, ...]

    def __call__(self, interactions: Interactions) -> Floats:
        """[U, H * D] of H half-lives."""
        return latest(interactions, self.inputs_ID, self.half_lives)


@dataclass(frozen=True)
class LastState:
    """The transformer's state at the last interaction."""

    transformer: Transformer
    history_length: int

    @torch.no_grad()
    def __call__(self, interactions: Interactions) -> Floats:
        """[U, D]; histories of about the same length together."""
        was_training = self.transformer.training
        self.transformer.eval()
        device = self.transformer.items_ID.device
        lengths_U = torch.from_numpy(np.minimum(interactions.counts, self.history_length))
        vectors_UD = torch.zeros(len(lengths_U), self.transformer.items_ID.shape[1], device=device)
        for some_B in torch.argsort(lengths_U).split(USERS_AT_ONCE) if len(lengths_U) else ():
            last_B = (lengths_U[some_B] - 1).to(device)
            items_BT = latest_window(interactions.take(some_B.numpy()), self.history_length)
            vectors_BTD = self.transformer(items_BT.to(device))
            vectors_UD[some_B] = vectors_BTD[torch.arange(len(some_B), device=device), last_B] * (last_B >= 0)[:, None]
        self.transformer.train(was_training)
        return np.asarray(vectors_UD.cpu().numpy(), np.float32)


@dataclass(frozen=True)
class CollaborativeEncoder:
    """The last column of item vectors is an item's popularity; of user vectors, 1."""

    config: CollaborativeConfig
    items_IV: Floats
    history: HistoryReader

    @property
    def name(self) -> str:
        """The name of its kind: `svd`, `sequence` and so on."""
        return self.config.encoder

    @property
    def vector_size(self) -> int:
        """V."""
        return int(self.items_IV.shape[1])

    def item_vectors(self, catalogue: ItemCatalogue, hours: float) -> Floats:
        """[rows, V]; zero for an item that training did not have."""
        del hours
        codes = codes_of(catalogue)
        vectors = self.items_IV[np.maximum(codes, 0)]
        vectors[(codes < 0) | (codes >= len(self.items_IV))] = 0
        return vectors

    def user_vectors(self, catalogue: ItemCatalogue, interactions: Interactions, hours: float) -> Floats:
        """[U, V] of what lies strictly before `hours`."""
        code_I = np.where(codes_of(catalogue) < len(self.items_IV), codes_of(catalogue), -1)
        return self.embed_users(interactions.before(hours).recoded(code_I, len(self.items_IV)))

    def embed_users(self, interactions: Interactions) -> Floats:
        """[U, V] of interactions with this encoder's own items; an empty history ranks by popularity."""
        read_UV = self.history(interactions)
        return np.concatenate([read_UV, np.ones((len(read_UV), 1), np.float32)], axis=1)

    def scores(self, interactions: Interactions) -> Floats:
        """[U, I] of every user and own item."""
        return self.embed_users(interactions) @ self.items_IV.T


def codes_of(catalogue: ItemCatalogue) -> Ints:
    """[I] the row that an encoder of ids has for each item of a catalogue; negative where it has none."""
    codes: Ints = catalogue.id_I.cpu().numpy() - 1
    return codes


def of_transformer(transformer: Transformer, config: CollaborativeConfig) -> CollaborativeEncoder:
    """The encoder that a transformer is at this moment of its training."""
    with torch.no_grad():
        items_IV = torch.cat([transformer.items_ID, transformer.bias_I[:, None]], dim=1).cpu().numpy()
    return CollaborativeEncoder(config, items_IV, LastState(transformer, config.sequence.history_length))


SLOTS_AT_ONCE = 65_536
"""Items of histories whose vectors are gathered at once."""
LONGEST_HISTORY = 4096
"""Latest interactions that a user vector is solved from."""


@dataclass(frozen=True)
class FoldIn:
    """Solves x of (Y'Y + (alpha - 1) Y_h'Y_h + regularization) x = alpha Y_h'1 for the items h of a history."""

    items_ID: Floats
    alpha: float
    regularization: float

    def __call__(self, interactions: Interactions) -> Floats:
        """[U, D]; zero for an empty history. Histories of about the same length together."""
        vectors_UD = torch.zeros(len(interactions.counts), self.items_ID.shape[1])
        items_ID = torch.from_numpy(self.items_ID)
        gram_DD = items_ID.T @ items_ID + self.regularization * torch.eye(items_ID.shape[1])
        distinct = interactions.where(interactions.is_first)
        for some_B in _blocks(torch.from_numpy(np.minimum(distinct.counts, LONGEST_HISTORY))):
            history_BT = latest_window(distinct.take(some_B.numpy()), LONGEST_HISTORY)
            vectors_UD[some_B] = self._solved(items_ID, gram_DD, history_BT)
        return np.asarray(vectors_UD.numpy(), np.float32)

    def _solved(self, items_ID: Tensor, gram_DD: Tensor, history_BT: Tensor) -> Tensor:
        known_BTD = items_ID[history_BT.clamp(min=0)] * (history_BT != EMPTY)[..., None]
        left_BDD = gram_DD + (self.alpha - 1) * known_BTD.transpose(1, 2) @ known_BTD
        solved: Tensor = torch.linalg.solve(left_BDD, self.alpha * known_BTD.sum(dim=1))
        return solved


def _blocks(lengths_U: Tensor) -> list[Tensor]:
    """Users by length, as many at once as hold some `SLOTS_AT_ONCE` items."""
    order_U = torch.argsort(lengths_U)
    block_U = (lengths_U[order_U].clamp(min=64).cumsum(0) - 1) // SLOTS_AT_ONCE
    return [part for part in order_U.split(torch.bincount(block_U).tolist()) if len(part)] if len(order_U) else []
