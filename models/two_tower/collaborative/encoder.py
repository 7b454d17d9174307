"""A fitted encoder of item ids: item vectors, and what makes a user vector of a history."""

# U users, B of a batch, T slots of a window, I items, D embedding size, V vector size

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from models.two_tower.catalogue import Catalogue
from models.two_tower.collaborative.config import CollaborativeConfig
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.collaborative.sequence_batches import EMPTY, latest_window
from models.two_tower.collaborative.user_states import latest
from models.two_tower.interactions import Floats, Interactions, Ints

USERS_AT_ONCE = 256


class HistoryEncoder(Protocol):
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
        items_UT = latest_window(interactions, self.history_length).to(device)
        vectors_UD = torch.zeros(len(items_UT), self.transformer.items_ID.shape[1], device=device)
        lengths_U = (items_UT != EMPTY).sum(dim=1)
        for some_B in torch.argsort(lengths_U).split(USERS_AT_ONCE):
            last_B = lengths_U[some_B] - 1
            vectors_BTD = self.transformer(items_UT[some_B, : max(1, int(last_B.max()) + 1)])
            vectors_UD[some_B] = vectors_BTD[torch.arange(len(some_B), device=device), last_B] * (last_B >= 0)[:, None]
        self.transformer.train(was_training)
        return np.asarray(vectors_UD.cpu().numpy(), np.float32)


@dataclass(frozen=True)
class CollaborativeEncoder:
    """The last column of item vectors is an item's popularity; of user vectors, 1."""

    config: CollaborativeConfig
    items_IV: Floats
    history: HistoryEncoder

    @property
    def vector_size(self) -> int:
        """V."""
        return int(self.items_IV.shape[1])

    def item_vectors(self, catalogue: Catalogue, hours: float) -> Floats:
        """[rows, V]; zero for an item that training did not have."""
        del hours
        codes = codes_of(catalogue)
        vectors = self.items_IV[np.maximum(codes, 0)]
        vectors[(codes < 0) | (codes >= len(self.items_IV))] = 0
        return vectors

    def user_vectors(self, catalogue: Catalogue, interactions: Interactions, hours: float) -> Floats:
        """[U, V] of what lies strictly before `hours`."""
        known = np.where(codes_of(catalogue) < len(self.items_IV), codes_of(catalogue), -1)
        return self.embed_users(interactions.before(hours).recoded(known, len(self.items_IV)))

    def embed_users(self, interactions: Interactions) -> Floats:
        """[U, V] of interactions with this encoder's own items; an empty history ranks by popularity."""
        read_UV = self.history(interactions)
        return np.concatenate([read_UV, np.ones((len(read_UV), 1), np.float32)], axis=1)

    def scores(self, interactions: Interactions) -> Floats:
        """[U, I] of every user and own item."""
        return self.embed_users(interactions) @ self.items_IV.T


def codes_of(catalogue: Catalogue) -> Ints:
    """[I] the row that an encoder of ids has for each item of a catalogue; negative where it has none."""
    codes: Ints = catalogue.id_I.cpu().numpy() - 1
    return codes


def of_transformer(transformer: Transformer, config: CollaborativeConfig) -> CollaborativeEncoder:
    """The encoder that a transformer is at this moment of its training."""
    with torch.no_grad():
        items_IV = torch.cat([transformer.items_ID, transformer.bias_I[:, None]], dim=1).cpu().numpy()
    return CollaborativeEncoder(config, items_IV, LastState(transformer, config.sequence.history_length))
