"""Sequences as tensors, cut into batches of windows; nothing here loops over users or items."""

# B windows of the batch, W slots, N distinct items of the batch, P targets, E events, I items

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.two_tower.config import TwoTowerConfig
from models.two_tower.examples import Windows, past_features, silence_hours
from models.two_tower.interactions import Interactions
from models.two_tower.towers import History


@dataclass(frozen=True)
class Events:
    """The flat interactions as tensors on the device."""

    items_E: Tensor
    actions_E: Tensor
    hours_E: Tensor
    silence_E: Tensor
    past_EF: Tensor
    region_U: Tensor

    @classmethod
    def of(cls, interactions: Interactions, device: torch.device) -> "Events":
        """What the towers read of `interactions`."""
        columns = interactions.items, interactions.actions, interactions.hours, silence_hours(interactions)
        items, actions, hours, silence = (torch.from_numpy(column).to(device) for column in columns)
        past = past_features(interactions).to(device)
        return cls(items, actions, hours, silence, past, torch.from_numpy(interactions.region).to(device))

    def history(self, slots_BW: Tensor, user_B: Tensor, item_BWD: Tensor) -> History:
        """The windows at these positions (-1 is empty); the caller has encoded their items, zero where empty."""
        filled_BW = slots_BW >= 0
        return History(
            item_BWD,
            self.actions_E[slots_BW] * filled_BW,
            self.hours_E[slots_BW] * filled_BW,
            self.silence_E[slots_BW] * filled_BW,
            self.past_EF[slots_BW] * filled_BW[..., None],
            self.region_U[user_B],
        )


@dataclass(frozen=True)
class Batch:
    """Some windows, and the distinct items that they and the uniform draw bring."""

    slots_BW: Tensor
    user_B: Tensor
    is_target_BW: Tensor
    rows_N: Tensor  # rows of the catalogue
    items_BW: Tensor  # columns of rows_N, -1 is empty

    def item_vectors(self, item_ND: Tensor) -> Tensor:
        """`[B, W, D]` the windows' item vectors, zero in empty slots."""
        return item_ND[self.items_BW] * (self.items_BW >= 0)[..., None]


def batches(
    windows: Windows, events: Events, items: int, config: TwoTowerConfig, generator: torch.Generator
) -> Iterator[Batch]:
    """One epoch in random order; each batch has its windows' items and uniform ones, of `items` in all."""
    device, uniform = events.items_E.device, config.uniform_negatives
    slots_NW = torch.from_numpy(windows.slots_NW)
    user_N, is_target_NW = torch.from_numpy(windows.user_N), torch.from_numpy(windows.is_target_NW)
    lengths_N = torch.from_numpy(windows.lengths())
    for chosen_B in _shuffled(lengths_N, config.batch_size, generator):
        width = int(lengths_N[chosen_B].max())
        slots_BW = slots_NW[chosen_B, :width].to(device)
        events_BW = torch.where(slots_BW >= 0, events.items_E[slots_BW], -1)
        drawn = torch.arange(items) if uniform >= items else torch.randint(items, (uniform,), generator=generator)
        rows_N = torch.cat([events_BW[events_BW >= 0], drawn.to(device)]).unique()
        columns_BW = torch.searchsorted(rows_N, events_BW).where(events_BW >= 0, -1)
        is_target_BW = is_target_NW[chosen_B, :width].to(device)
        yield Batch(slots_BW, user_N[chosen_B].to(device), is_target_BW, rows_N, columns_BW)


def _shuffled(lengths_N: Tensor, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Random batches; within a random stretch of eight batches the windows are sorted by length to save padding."""
    order_N = torch.randperm(len(lengths_N), generator=generator)
    stretches = [stretch[lengths_N[stretch].argsort(stable=True)] for stretch in order_N.split(8 * batch_size)]
    groups = [group for stretch in stretches for group in stretch.split(batch_size)]
    return [groups[at] for at in torch.randperm(len(groups), generator=generator).tolist()]
