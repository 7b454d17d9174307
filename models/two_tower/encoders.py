"""Encoders beside those of item ids: content towers, and several encoders side by side."""

# U users, I items, D + K embedding and age columns, V vector size

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.two_tower.catalogue import ItemCatalogue
from models.two_tower.csr_interactions import Floats, Interactions
from models.two_tower.examples import EventTensors, Windows, latest_windows
from models.two_tower.holdout import Encoder
from models.two_tower.towers import TwoTower

USERS_AT_ONCE = 512


@dataclass(frozen=True)
class ContentEncoder:
    """Trained towers over ids, content, age and sequence."""

    model: TwoTower

    @property
    def name(self) -> str:
        """The name of its kind."""
        return "content"

    @property
    def vector_size(self) -> int:
        """Columns of every vector: embedding_size, and the age part where the catalogue has ages."""
        return self.model.config.embedding_size + self.model.age_columns

    @torch.inference_mode()
    def item_vectors(self, catalogue: ItemCatalogue, hours: float) -> Floats:
        """`[I, D + K]` at an instant; new items are placed by their content."""
        self.model.eval()
        return self.model.item_vectors(catalogue.to(self._device), hours).cpu().numpy()

    @torch.inference_mode()
    def user_vectors(self, catalogue: ItemCatalogue, interactions: Interactions, hours: float) -> Floats:
        """`[U, D + K]` at an instant, from what lies strictly before it."""
        self.model.eval()
        catalogue, moment = catalogue.to(self._device), interactions.before(hours).with_moment(hours)
        events = EventTensors.of(moment, self._device)
        windows = latest_windows(moment, self.model.config.history_length + 1)
        item_ID = self.model.items(catalogue, torch.arange(len(catalogue), device=self._device))
        item_ID = torch.cat([item_ID, item_ID.new_zeros(1, item_ID.shape[1])])  # the empty slot's row -1
        parts = [
            self._latest_states(item_ID, events, windows, first)
            for first in range(0, len(moment.counts), USERS_AT_ONCE)
        ]
        return torch.cat([torch.zeros(0, self.vector_size), *parts]).numpy()

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _latest_states(self, item_ID: Tensor, events: EventTensors, windows: Windows, first: int) -> Tensor:
        some = slice(first, first + USERS_AT_ONCE)
        width = int(np.count_nonzero(windows.slots_NW[some] >= 0, axis=1).max())
        slots_BW = torch.from_numpy(windows.slots_NW[some, :width]).to(item_ID.device)
        item_BWD = item_ID[torch.where(slots_BW >= 0, events.items_E[slots_BW], -1)]
        history = events.history(slots_BW, torch.from_numpy(windows.user_N[some]).to(item_ID.device), item_BWD)
        return self.model.user_vectors(
            history, torch.from_numpy(windows.is_target_NW[some, :width]).to(item_ID.device)
        ).cpu()


@dataclass(frozen=True)
class Concatenation:
    """Encoders side by side: the score is the weighted sum of theirs, each in standard deviations over the items."""

    parts: tuple[Encoder, ...]
    weights: tuple[float, ...]
    covariances: tuple[Floats, ...]
    """[V, V] of each part's item vectors."""

    @property
    def name(self) -> str:
        """The names of the parts, with `and` between them."""
        return " and ".join(part.name for part in self.parts)

    @property
    def vector_size(self) -> int:
        """The sum of the parts'."""
        return sum(part.vector_size for part in self.parts)

    def item_vectors(self, catalogue: ItemCatalogue, hours: float) -> Floats:
        """[I, V], side by side."""
        return np.concatenate([part.item_vectors(catalogue, hours) for part in self.parts], axis=1)

    def user_vectors(self, catalogue: ItemCatalogue, interactions: Interactions, hours: float) -> Floats:
        """[U, V], side by side, each part scaled by its weight over the standard deviation of its scores."""
        scaled = []
        for part, weight, covariance_VV in zip(self.parts, self.weights, self.covariances, strict=True):
            vectors_UV = part.user_vectors(catalogue, interactions, hours)
            variance_U1 = np.einsum("uv,uv->u", vectors_UV @ covariance_VV, vectors_UV)[:, None]
            scaled.append(weight * vectors_UV / np.sqrt(np.maximum(variance_U1, 1e-24)))
        return np.concatenate(scaled, axis=1).astype(np.float32)


def concatenated(
    parts: tuple[Encoder, ...], weights: tuple[float, ...], catalogue: ItemCatalogue, hours: float
) -> Concatenation:
    """Encoders side by side, whose scores vary as they do over this catalogue."""
    return Concatenation(parts, weights, tuple(covariance(part.item_vectors(catalogue, hours)) for part in parts))


def covariance(items_IV: Floats) -> Floats:
    """[V, V]."""
    centred_IV = items_IV - items_IV.mean(axis=0)
    return np.asarray(centred_IV.T @ centred_IV / max(len(items_IV), 1), np.float32)
