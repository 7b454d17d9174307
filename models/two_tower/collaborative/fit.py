"""From interactions to an encoder of item ids. Several fits of the same interactions share their decompositions."""

# I items, D dimensions of the truncated SVD

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from contracts.errors import UntrainableInput
from models.baselines.matrix_factorization import IalsConfig, ials_factors
from models.two_tower.collaborative.bag_of_items import train_bag
from models.two_tower.collaborative.collaborative_config import CollaborativeConfig
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder, FoldIn, Sums, of_transformer
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.collaborative.sequence_training import train_sequence
from models.two_tower.collaborative.svd import ItemSpace, item_space
from models.two_tower.collaborative.user_states import Ridge, examples_of
from models.two_tower.csr_interactions import Floats, Interactions
from models.two_tower.training_loop import CPU, EpochResult, RunWith

MeasureEncoder = Callable[[CollaborativeEncoder], tuple[float, float]]
"""Recall and NDCG on validation."""
FAINT = 1e-6
"""Weight of popularity beside the truncated SVD: it decides only for empty histories."""
RANDOM_SCALE = 0.02
"""Deviation of the entries of item vectors where the SVD has too few dimensions to initialize them."""


@dataclass
class Fits:
    """Fits configs to the same interactions; what several of them share is kept while its settings stay."""

    interactions: Interactions
    seed: int
    run_with: RunWith = field(default_factory=RunWith)
    device: torch.device = CPU
    """The device of transformers; closed forms and bags are fitted on the CPU."""
    curve: tuple[EpochResult, ...] = ()
    """The epochs of the last transformer that was trained."""
    _spaces: dict[tuple[float, float], ItemSpace] = field(default_factory=dict, init=False, repr=False)
    _ridges: dict[CollaborativeConfig, Ridge] = field(default_factory=dict, init=False, repr=False)

    def encoder(
        self,
        config: CollaborativeConfig,
        *,
        measure: MeasureEncoder | None = None,
        start: CollaborativeEncoder | None = None,
    ) -> CollaborativeEncoder:
        """The fitted encoder of a config. A transformer is measured after each epoch, and continues `start`. Raises
        `UntrainableInput` where there are no interactions, no history holds two items for a transformer, or all items
        of a bag are alike."""
        space = self._space(config)
        if config.encoder == "ials":
            return by_ials(self.interactions, space, config, seed=self.seed)
        if config.encoder in ("svd", "ease"):
            return by_svd(space, config)
        if config.encoder == "bag":
            return by_bag(self.interactions, space, config, seed=self.seed)
        if config.encoder == "ridge":
            return by_ridge(space, self._ridge(config, space), config)
        return self._sequence(config, space, measure, start)

    def _space(self, config: CollaborativeConfig) -> ItemSpace:
        """One decomposition serves all smaller sizes: the greatest dimensions come first."""
        if not len(self.interactions.items):
            raise UntrainableInput("there are no interactions to learn from; give rows of users and items")
        powers = user_power, item_power = config.user_power, config.item_power
        if powers not in self._spaces or len(self._spaces[powers].spectrum_D) < config.embedding_size:
            pairs, size = self.interactions.pairs(), config.embedding_size
            space = item_space(pairs, size, user_power=user_power, item_power=item_power, seed=self.seed)
            self._spaces[powers] = space
        return self._spaces[powers]

    def _ridge(self, config: CollaborativeConfig, space: ItemSpace) -> Ridge:
        kept = config.changed({"ridge": 1.0, "popularity_power": 0.0})
        if kept not in self._ridges:
            self._ridges = {kept: ridge_of(self.interactions, space, config)}
        return self._ridges[kept]

    def _sequence(
        self,
        config: CollaborativeConfig,
        space: ItemSpace,
        measure: MeasureEncoder | None,
        start: CollaborativeEncoder | None,
    ) -> CollaborativeEncoder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = Transformer(start_items(space, config), torch.from_numpy(space.weights_I), config.sequence)
            model = model.to(self.device)
            if start is not None:
                copy_weights(start, model)
            measured = None if measure is None else lambda: measure(of_transformer(model, config))
            self.curve = train_sequence(
                model, self.interactions, config.sequence, seed=self.seed, measure=measured, run_with=self.run_with
            )
        return of_transformer(model.eval(), config)


def fit(interactions: Interactions, config: CollaborativeConfig, *, seed: int) -> CollaborativeEncoder:
    """Fit one config."""
    return Fits(interactions, seed).encoder(config)


def by_svd(space: ItemSpace, config: CollaborativeConfig) -> CollaborativeEncoder:
    """A user is the sum of the item space's vectors."""
    outputs_ID = space.outputs(
        config.embedding_size, popularity_power=config.popularity_power, shrinkage=config.shrinkage
    )
    return CollaborativeEncoder(config, with_popularity(outputs_ID, space), sums_of(space, config))


def by_ials(
    interactions: Interactions, space: ItemSpace, config: CollaborativeConfig, *, seed: int
) -> CollaborativeEncoder:
    """A user vector is solved from the items of the history."""
    sizes = {"embedding_size": config.embedding_size, "alpha": config.alpha, "regularization": config.regularization}
    _, items_ID = ials_factors(interactions.pairs(), IalsConfig(**sizes), seed=seed, threads=torch.get_num_threads())
    fold_in = FoldIn(items_ID, config.alpha, config.regularization)
    return CollaborativeEncoder(config, with_popularity(items_ID, space), fold_in)


def by_bag(
    interactions: Interactions, space: ItemSpace, config: CollaborativeConfig, *, seed: int
) -> CollaborativeEncoder:
    """A user is the sum of learned item vectors."""
    some_D = slice(0, config.bag.embedding_size)
    start_ID = space.directions_ID[:, some_D] * np.sqrt(space.spectrum_D[some_D])
    if config.bag.item_init == "random":
        start_ID = np.random.default_rng(seed).standard_normal(start_ID.shape, np.float32)
    inputs_ID, outputs_ID = train_bag(interactions.pairs(), start_ID, config.bag, seed=seed)
    return CollaborativeEncoder(config, with_popularity(outputs_ID, space), Sums(inputs_ID, config.half_lives))


def by_ridge(space: ItemSpace, ridge: Ridge, config: CollaborativeConfig) -> CollaborativeEncoder:
    """User states in the item space, and item vectors that predict the next item from them."""
    scale_I1 = (space.weights_I**config.popularity_power)[:, None]
    return CollaborativeEncoder(config, ridge.solve(config.ridge) * scale_I1, sums_of(space, config))


def with_popularity(outputs_ID: Floats, space: ItemSpace) -> Floats:
    """[I, D + 1]."""
    popularity_I1 = np.asarray(space.weights_I / space.weights_I.max(), np.float32)[:, None]
    return np.concatenate([outputs_ID, FAINT * popularity_I1], axis=1)


def sums_of(space: ItemSpace, config: CollaborativeConfig) -> Sums:
    """User states in the item space."""
    return Sums(inputs_of(space, config), config.half_lives)


def inputs_of(space: ItemSpace, config: CollaborativeConfig) -> Floats:
    """[I, D] what an interaction adds to a user."""
    powers = {"item_power": config.item_power, "spectrum_power": config.spectrum_power}
    return space.inputs(config.embedding_size, shrinkage=config.shrinkage, **powers)


def ridge_of(interactions: Interactions, space: ItemSpace, config: CollaborativeConfig) -> Ridge:
    """What every penalty can be solved from; of many positions, those of evenly picked users."""
    inputs_ID = inputs_of(space, config)
    step = -(-len(interactions.items) // config.max_positions)
    some = interactions.take(np.arange(0, len(interactions.counts), step))
    examples = examples_of(some, inputs_ID, config.half_lives)
    return Ridge(examples, columns=len(config.half_lives) * inputs_ID.shape[1], items=interactions.item_count)


def start_items(space: ItemSpace, config: CollaborativeConfig) -> torch.Tensor:
    """[I, size] item vectors of a transformer before training."""
    sizes = config.sequence
    start_ID = RANDOM_SCALE * torch.randn(len(space.directions_ID), sizes.embedding_size)
    if sizes.item_init == "svd":
        found_ID = torch.from_numpy(space.directions_ID[:, : sizes.embedding_size])
        start_ID[:, : found_ID.shape[1]] = found_ID
    return start_ID


def copy_weights(start: CollaborativeEncoder, transformer: Transformer) -> None:
    """Every weight of an earlier transformer; items that it did not have keep their own."""
    old = start.history.transformer.state_dict()  # type: ignore[attr-defined]  # only transformers are continued
    with torch.no_grad():
        for name, weight in transformer.state_dict().items():
            weight[: len(old[name])] = old[name]
