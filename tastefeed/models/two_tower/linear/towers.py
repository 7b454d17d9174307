"""Fitted linear towers: an inner product says what a person wants next."""

# U users, I items, D dimensions, K columns of the vectors

from dataclasses import dataclass

import numpy as np

from tastefeed.contracts.errors import UntrainableInput
from tastefeed.models.two_tower.linear.config import LinearConfig
from tastefeed.models.two_tower.linear.histories import Floats, Histories
from tastefeed.models.two_tower.linear.memories import latest, lessons
from tastefeed.models.two_tower.linear.readout import Readout
from tastefeed.models.two_tower.linear.space import ItemSpace, item_space

FAINT = 1e-6
"""What popularity counts where a bag decides: only where nothing else is known of a person."""


@dataclass(frozen=True)
class LinearTwoTower:
    """Item vectors, and what makes a user vector of a history."""

    config: LinearConfig
    inputs_ID: Floats
    items_IK: Floats

    def embed_users(self, histories: Histories) -> Floats:
        """[U, K] of any history over the same items; an empty one gives the most popular items."""
        half_lives = self.config.half_lives if self.config.encoder == "memory" else (np.inf,)
        states_UK = latest(histories, self.inputs_ID, half_lives)
        return np.concatenate([states_UK, np.ones((len(states_UK), 1), np.float32)], axis=1)

    def embed_items(self) -> Floats:
        """[I, K]."""
        return self.items_IK


def fit(histories: Histories, config: LinearConfig, *, seed: int) -> LinearTwoTower:
    """Learn from everybody. Raises `UntrainableInput` where nobody touched anything."""
    space = space_of(histories, config, seed=seed)
    if config.encoder == "bag":
        return bag_of(space, config)
    return memory_of(space, readout_of(histories, space, config), config)


def space_of(histories: Histories, config: LinearConfig, *, seed: int) -> ItemSpace:
    """The item space of a config."""
    if not len(histories.items):
        raise UntrainableInput("the histories hold no touch; give rows of users and items")
    powers = {"user_power": config.user_power, "item_power": config.item_power}
    return item_space(histories.pairs(), config.embedding_size, seed=seed, **powers)


def bag_of(space: ItemSpace, config: LinearConfig) -> LinearTwoTower:
    """Both towers read off the item space: a person is the sum of what they touched."""
    outputs_ID = space.outputs(config.embedding_size, popularity_power=config.popularity_power)
    share_I1 = (space.weights_I / space.weights_I.max())[:, None]
    return LinearTwoTower(config, inputs_of(space, config), np.concatenate([outputs_ID, FAINT * share_I1], axis=1))


def memory_of(space: ItemSpace, readout: Readout, config: LinearConfig) -> LinearTwoTower:
    """Memories in the item space, and the items as what follows them."""
    scale_I1 = (space.weights_I**config.popularity_power)[:, None]
    return LinearTwoTower(config, inputs_of(space, config), readout.solve(config.ridge) * scale_I1)


def inputs_of(space: ItemSpace, config: LinearConfig) -> Floats:
    """[I, D] what a touch adds."""
    powers = {"item_power": config.item_power, "spectrum_power": config.spectrum_power}
    return space.inputs(config.embedding_size, **powers)


def readout_of(histories: Histories, space: ItemSpace, config: LinearConfig) -> Readout:
    """Of all users, or of evenly picked ones where there are too many positions."""
    step = -(-len(histories.items) // config.lessons)
    teachers = histories.take(np.arange(0, len(histories.counts), step))
    inputs_ID = inputs_of(space, config)
    columns = len(config.half_lives) * inputs_ID.shape[1]
    found = lessons(teachers, inputs_ID, config.half_lives)
    return Readout(found, columns=columns, items=histories.item_count)
