"""From histories to what reads them, one way for each readout."""

# I items, D dimensions of the item space

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tastefeed.contracts.errors import UntrainableInput
from tastefeed.models.two_tower.memory.attention import Attention
from tastefeed.models.two_tower.memory.bag import learn_bag
from tastefeed.models.two_tower.memory.config import MemoryConfig
from tastefeed.models.two_tower.memory.histories import Floats, Histories
from tastefeed.models.two_tower.memory.learning import learn
from tastefeed.models.two_tower.memory.memories import lessons
from tastefeed.models.two_tower.memory.readout import Readout
from tastefeed.models.two_tower.memory.space import ItemSpace, item_space
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower, Sums, mixed, of_attention

Measure = Callable[[MemoryTwoTower], float]
"""The better the tower, the higher."""
FAINT = 1e-6
"""What popularity counts where the item space decides: only where nothing else is known of a person."""
FRESH_START = 0.02
"""Deviation of the entries of item vectors where the item space has too few dimensions to begin from."""


def space_of(histories: Histories, config: MemoryConfig, *, seed: int) -> ItemSpace:
    """The item space of a config."""
    if not len(histories.items):
        raise UntrainableInput("the histories hold no touch; give rows of users and items")
    powers = {"user_power": config.user_power, "item_power": config.item_power}
    return item_space(histories.pairs(), config.embedding_size, seed=seed, **powers)


def by_space(space: ItemSpace, config: MemoryConfig) -> MemoryTwoTower:
    """Both towers read off the item space: a person is the sum of what they touched."""
    powers = {"popularity_power": config.popularity_power, "shrinkage": config.shrinkage}
    outputs_ID = space.outputs(config.embedding_size, **powers)
    items_IV = np.concatenate([outputs_ID, FAINT * popularity_of(space)], axis=1)
    return MemoryTwoTower(config, items_IV, sums_of(space, config))


def by_bag(histories: Histories, space: ItemSpace, config: MemoryConfig, *, seed: int) -> MemoryTwoTower:
    """Both towers read off items that have learned to be summed; they begin in the item space."""
    some_D = slice(0, config.bag.embedding_size)
    start_ID = space.directions_ID[:, some_D] * np.sqrt(space.spectrum_D[some_D])
    if config.bag.begins == "noise":
        start_ID = np.random.default_rng(seed).standard_normal(start_ID.shape, np.float32)
    inputs_ID, outputs_ID = learn_bag(histories.pairs(), start_ID, config.bag, seed=seed)
    items_IV = np.concatenate([outputs_ID, FAINT * popularity_of(space)], axis=1)
    return MemoryTwoTower(config, items_IV, Sums(inputs_ID, config.half_lives))


def beside_space(bag: MemoryTwoTower, space: ItemSpace, config: MemoryConfig) -> MemoryTwoTower:
    """A learned bag with the item space beside it: one is better for people of few touches, the other for the rest."""
    return mixed(bag, by_space(space, config), config, share=config.bag.share)


def by_ridge(space: ItemSpace, readout: Readout, config: MemoryConfig) -> MemoryTwoTower:
    """Memories in the item space, and the items as what follows them."""
    scale_I1 = (space.weights_I**config.popularity_power)[:, None]
    return MemoryTwoTower(config, readout.solve(config.ridge) * scale_I1, sums_of(space, config))


def by_attention(
    histories: Histories, space: ItemSpace, config: MemoryConfig, *, seed: int, measure: Measure
) -> MemoryTwoTower:
    """Windows of touches, read by a trained transformer: of its best epoch, or its last where none is measured."""
    sizes = config.attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start_ID = FRESH_START * torch.randn(len(space.directions_ID), sizes.embedding_size)
        if sizes.begins == "space":
            found_ID = torch.from_numpy(space.directions_ID[:, : sizes.embedding_size])
            start_ID[:, : found_ID.shape[1]] = found_ID
        attention = Attention(start_ID, torch.from_numpy(space.weights_I), sizes)
        told = learn(attention, histories, sizes, seed=seed, measure=lambda now: measure(of_attention(now, config)))
    return replace(of_attention(attention, config), epochs=told)


def popularity_of(space: ItemSpace) -> Floats:
    """[I, 1] of the most popular item's."""
    return np.asarray(space.weights_I / space.weights_I.max(), np.float32)[:, None]


def sums_of(space: ItemSpace, config: MemoryConfig) -> Sums:
    """Memories in the item space."""
    return Sums(inputs_of(space, config), config.half_lives)


def inputs_of(space: ItemSpace, config: MemoryConfig) -> Floats:
    """[I, D] what a touch adds."""
    powers = {"item_power": config.item_power, "spectrum_power": config.spectrum_power}
    return space.inputs(config.embedding_size, shrinkage=config.shrinkage, **powers)


def ridge_of(histories: Histories, space: ItemSpace, config: MemoryConfig) -> Readout:
    """What every penalty of the ridge can be solved from."""
    inputs_ID = inputs_of(space, config)
    columns = len(config.half_lives) * inputs_ID.shape[1]
    found = lessons(teachers(histories, config), inputs_ID, config.half_lives)
    return Readout(found, columns=columns, items=histories.item_count)


def teachers(histories: Histories, config: MemoryConfig) -> Histories:
    """All users, or evenly picked ones where there are too many positions."""
    step = -(-len(histories.items) // config.lessons)
    return histories.take(np.arange(0, len(histories.counts), step))
