"""The retrieval_examples table as interactions, and the windows and batches that the content encoder is trained on.

A window is up to W = history_length + 1 slots of one user. The state at slot q has seen the window's slots before q and
predicts slot q, so inputs and targets are the same slots. A nightly vector needs one more, empty slot at the end, whose
time is `as_of`.
"""

# B windows of the batch, W slots, N distinct items of the batch, P targets, E events, I items

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts import Action
from contracts import columns as c
from contracts.csr import offsets_of
from models.two_tower.catalogue import ItemCatalogue, column_of, hours_since_1970
from models.two_tower.csr_interactions import CLICK, SAVE, Hours, Interactions, Ints
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabulary


def encode_interactions(
    examples: pl.DataFrame, catalogue: ItemCatalogue, users: pl.DataFrame | None, regions: Vocabulary
) -> Interactions:
    """Every user of the table in its order; events whose item the catalogue lacks are left out."""
    columns = ("item_ids", "actions", "timestamps")
    flat = examples.lazy().with_row_index("user").select("user", *columns).explode(*columns, empty_as_null=False)
    events = flat.collect()
    rows = catalogue.rows(events["item_ids"])
    known = rows >= 0
    actions = np.where((events["actions"] == Action.SAVE).to_numpy(), SAVE, CLICK)[known]
    counts = np.bincount(events["user"].to_numpy()[known], minlength=examples.height)
    hours, region = hours_since_1970(events["timestamps"])[known], regions.codes(region_of(examples, users))
    return Interactions(offsets_of(counts), rows[known], len(catalogue), actions, hours, region)


def region_of(examples: pl.DataFrame, users: pl.DataFrame | None) -> pl.Series:
    """`[U]` the region of each row's user, null where unknown."""
    if users is None or c.REGION not in users.columns:
        return column_of(examples.select(c.USER_ID), c.REGION)
    regions = users.select(c.USER_ID, c.REGION).unique(c.USER_ID, keep="first", maintain_order=True)
    return examples.select(c.USER_ID).join(regions, on=c.USER_ID, how="left", maintain_order="left")[c.REGION]


@dataclass(frozen=True)
class Windows:
    """N windows of W slots as positions in the flat events; -1 pads at the end."""

    slots_NW: Ints
    user_N: Ints
    is_target_NW: NDArray[np.bool_]

    def lengths(self) -> Ints:
        """`[N]` slots that are filled."""
        return np.asarray(np.count_nonzero(self.slots_NW >= 0, axis=1))


def training_windows(interactions: Interactions, width: int) -> Windows:
    """Windows that overlap by half, so that each target sees half a window of history at least, where there is so much.

    A target is a first interaction, and so it is never in its own history: a feed does not repeat items.
    """
    counts = np.diff(interactions.offsets)
    stride = max(1, width // 2)
    windows = np.where(counts == 0, 0, 1 + -(-np.maximum(counts - width, 0) // stride))
    user_N = np.repeat(np.arange(len(counts)), windows)
    nth_N = np.arange(len(user_N)) - np.repeat(offsets_of(windows)[:-1], windows)
    start_N = np.minimum(nth_N * stride, np.maximum(counts[user_N] - width, 0))
    fresh_N = np.where(nth_N == 0, 0, (nth_N - 1) * stride + width)
    within_NW = start_N[:, None] + np.arange(width)
    slots_NW = np.where(within_NW < counts[user_N, None], interactions.offsets[user_N, None] + within_NW, -1)
    is_target_NW = (slots_NW >= 0) & (within_NW >= fresh_N[:, None]) & interactions.is_first[slots_NW]
    return Windows(slots_NW, user_N, is_target_NW)


def latest_windows(interactions: Interactions, width: int) -> Windows:
    """One window a user: the last slots, of which the very last is the target."""
    counts = np.diff(interactions.offsets)
    start_U = np.maximum(counts - width, 0)
    within_UW = start_U[:, None] + np.arange(width)
    slots_UW = np.where(within_UW < counts[:, None], interactions.offsets[:-1, None] + within_UW, -1)
    return Windows(slots_UW, np.arange(len(counts)), within_UW == counts[:, None] - 1)


PAST_FEATURES = 4


def past_features(interactions: Interactions) -> Tensor:
    """`[E, 4]` the history just before each slot: log count, share of saves, log hours of silence, newness."""
    first_E = np.repeat(interactions.offsets[:-1], np.diff(interactions.offsets))
    before_E = np.arange(len(interactions.items)) - first_E
    saves = np.concatenate([[0], np.cumsum(interactions.actions == SAVE)])
    saves_E = saves[:-1] - saves[first_E]
    columns = [
        np.log1p(before_E) / 4,
        saves_E / np.maximum(before_E, 1),
        np.log1p(silence_hours(interactions)) / 4,
        before_E == 0,
    ]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def silence_hours(interactions: Interactions) -> Hours:
    """`[E]` hours since the user's event before; 0 for the first."""
    gaps = np.diff(interactions.hours, prepend=interactions.hours[:1])
    starts = interactions.offsets[:-1][np.diff(interactions.offsets) > 0]
    gaps[starts] = 0
    return np.maximum(gaps, 0)


@dataclass(frozen=True)
class HistoryTensors:
    """Windows as tensors; `past` and `silence` are of the moment just before each slot."""

    item_BWD: Tensor
    action_BW: Tensor
    hours_BW: Tensor
    silence_BW: Tensor
    past_BWF: Tensor
    region_B: Tensor


@dataclass(frozen=True)
class EventTensors:
    """The flat interactions as tensors on the device."""

    items_E: Tensor
    actions_E: Tensor
    hours_E: Tensor
    silence_E: Tensor
    past_EF: Tensor
    region_U: Tensor

    @classmethod
    def of(cls, interactions: Interactions, device: torch.device) -> "EventTensors":
        """What the towers read of `interactions`."""
        columns = interactions.items, interactions.actions, interactions.hours, silence_hours(interactions)
        items, actions, hours, silence = (torch.from_numpy(column).to(device) for column in columns)
        past = past_features(interactions).to(device)
        return cls(items, actions, hours, silence, past, torch.from_numpy(interactions.region).to(device))

    def history(self, slots_BW: Tensor, user_B: Tensor, item_BWD: Tensor) -> HistoryTensors:
        """The windows at these positions (-1 is empty); the caller has encoded their items, zero where empty."""
        filled_BW = slots_BW >= 0
        return HistoryTensors(
            item_BWD,
            self.actions_E[slots_BW] * filled_BW,
            self.hours_E[slots_BW] * filled_BW,
            self.silence_E[slots_BW] * filled_BW,
            self.past_EF[slots_BW] * filled_BW[..., None],
            self.region_U[user_B],
        )


@dataclass(frozen=True)
class TrainingBatch:
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
    windows: Windows, events: EventTensors, items: int, config: TwoTowerConfig, generator: torch.Generator
) -> Iterator[TrainingBatch]:
    """One epoch in random order; each batch has its windows' items and uniform ones, of `items` in all.

    A batch without a target is left out: its windows repeat what their users had seen.
    """
    device, uniform = events.items_E.device, config.uniform_negatives
    slots_NW = torch.from_numpy(windows.slots_NW)
    user_N, is_target_NW = torch.from_numpy(windows.user_N), torch.from_numpy(windows.is_target_NW)
    lengths_N = torch.from_numpy(windows.lengths())
    for chosen_B in _shuffled(lengths_N, config.batch_size, generator):
        if not is_target_NW[chosen_B].any():
            continue
        width = int(lengths_N[chosen_B].max())
        slots_BW = slots_NW[chosen_B, :width].to(device)
        events_BW = torch.where(slots_BW >= 0, events.items_E[slots_BW], -1)
        drawn = torch.arange(items) if uniform >= items else torch.randint(items, (uniform,), generator=generator)
        rows_N = torch.cat([events_BW[events_BW >= 0], drawn.to(device)]).unique()
        columns_BW = torch.searchsorted(rows_N, events_BW).where(events_BW >= 0, -1)
        is_target_BW = is_target_NW[chosen_B, :width].to(device)
        yield TrainingBatch(slots_BW, user_N[chosen_B].to(device), is_target_BW, rows_N, columns_BW)


def _shuffled(lengths_N: Tensor, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Random batches; within a random stretch of eight batches the windows are sorted by length to save padding."""
    order_N = torch.randperm(len(lengths_N), generator=generator)
    stretches = [stretch[lengths_N[stretch].argsort(stable=True)] for stretch in order_N.split(8 * batch_size)]
    groups = [group for stretch in stretches for group in stretch.split(batch_size)]
    return [groups[at] for at in torch.randperm(len(groups), generator=generator).tolist()]
