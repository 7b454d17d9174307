"""The retrieval_examples table as interactions, and the windows that are trained on.

A window is up to W = history_length + 1 slots of one user. The state at slot q has seen the window's slots before q and
predicts slot q; so inputs and targets are the same slots, and what a nightly vector needs is one more, empty slot at
the end whose time is `as_of`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts import Action
from contracts import columns as c
from models.two_tower.catalogue import Catalogue, column_of, hours_since_1970
from models.two_tower.interactions import CLICK, SAVE, Hours, Interactions, Ints, offsets_of
from models.two_tower.vocabulary import Vocabulary


def encode_interactions(
    examples: pl.DataFrame, catalogue: Catalogue, users: pl.DataFrame | None, regions: Vocabulary
) -> Interactions:
    """Every user of the table in its order; events whose item the catalogue lacks are left out."""
    events = (
        examples.lazy()
        .with_row_index("user")
        .select("user", "item_ids", "actions", "timestamps")
        .explode("item_ids", "actions", "timestamps", empty_as_null=False)
        .collect()
    )
    rows = catalogue.rows(events["item_ids"])
    known = rows >= 0
    saved = (events["actions"] == Action.SAVE).to_numpy()
    counts = np.bincount(events["user"].to_numpy()[known], minlength=examples.height)
    return Interactions(
        offsets_of(counts),
        rows[known],
        len(catalogue),
        np.where(saved, SAVE, CLICK)[known],
        hours_since_1970(events["timestamps"])[known],
        regions.codes(region_of(examples, users)),
    )


def region_of(examples: pl.DataFrame, users: pl.DataFrame | None) -> pl.Series:
    """`[U]` the region of each row's user, null where nobody knows."""
    if users is None or c.REGION not in users.columns:
        return column_of(examples.select(c.USER_ID), c.REGION)
    known = users.select(c.USER_ID, c.REGION).unique(c.USER_ID, keep="first", maintain_order=True)
    return examples.select(c.USER_ID).join(known, on=c.USER_ID, how="left", maintain_order="left")[c.REGION]


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

    A target is a first interaction, and so it is never in its own history: a feed does not repeat what a user knows.
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
    """`[E, 4]` what is known just before each slot: log count, share of saves, log hours of silence, newness."""
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
