"""Training of the sequence encoder. One step: some windows of interactions, each position a training example."""

# U users, E interactions, W windows, T slots of a window, P training examples, I items, N sampled items

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contracts.errors import UntrainableInput
from models.two_tower.collaborative.collaborative_config import SequenceConfig
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.csr_interactions import EMPTY, Interactions
from models.two_tower.training_loop import EpochResult, Measure, RunWith, Training, half_precision, one_cycle, run

LONGEST_GRADIENT = 5.0


def train_sequence(
    transformer: Transformer,
    interactions: Interactions,
    config: SequenceConfig,
    *,
    seed: int,
    measure: Measure | None,
    run_with: RunWith,
) -> tuple[EpochResult, ...]:
    """Train in place, down to the best epoch by `measure`. Returns the curve; the same seed, the same one. Raises
    `UntrainableInput` where no history holds two items."""
    if not interactions.targets:
        raise UntrainableInput("no history holds two items, and a sequence encoder predicts the next; use another")
    device = transformer.items_ID.device
    config = config.on(device.type)
    generator, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)

    def losses(_: int) -> Iterator[tuple[float, Tensor]]:
        windows = windows_of(sampled_users(interactions, config, random), config.history_length, random)
        parts = list(windows.batches(config.batch_size, generator))
        for step, part in enumerate(each.to(device) for each in parts):
            with half_precision(device):
                loss = windows_loss(transformer, part, config, generator)
            yield step / len(parts), loss

    optimizer, epochs = optimizer_of(transformer, config), epochs_of(interactions, config)
    rate, deadline = config.learning_rate, run_with.deadline
    training = Training(optimizer, rate, epochs, one_cycle, LONGEST_GRADIENT, deadline=deadline)
    return run(transformer, losses, training, measure, run_with.on_epoch)


def windows_loss(
    transformer: Transformer, part: "ItemWindows", config: SequenceConfig, generator: torch.Generator
) -> Tensor:
    """The loss over every position whose next item is known."""
    target_WT = part.next_WT != EMPTY
    vectors_PD = transformer(part.items_WT)[target_WT]
    return transformer.loss(vectors_PD, part.next_WT[target_WT], sampled_items(transformer, config, generator))


def epochs_of(interactions: Interactions, config: SequenceConfig) -> int:
    """More epochs where each has few steps."""
    steps = -(-min(interactions.targets, config.interactions_per_epoch) // config.batch_size)
    return max(config.epochs, min(4 * config.epochs, -(-config.min_steps // max(steps, 1))))


def sampled_users(interactions: Interactions, config: SequenceConfig, random: np.random.Generator) -> Interactions:
    """All users, or in each epoch others, where there are too many interactions."""
    step = -(-len(interactions.items) // config.interactions_per_epoch)
    if step == 1:
        return interactions
    return interactions.take(np.arange(random.integers(step), len(interactions.counts), step))


def optimizer_of(transformer: Transformer, config: SequenceConfig) -> torch.optim.Optimizer:
    """AdamW, whose decay is for matrices."""
    matrices = [each for each in transformer.parameters() if each.dim() > 1]
    others = [each for each in transformer.parameters() if each.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, 0.98), fused=True)


def sampled_items(transformer: Transformer, config: SequenceConfig, generator: torch.Generator) -> Tensor | None:
    """[N] uniformly sampled negatives of a step; None: all items."""
    items = len(transformer.bias_I)
    if items <= config.negatives:
        return None
    return torch.randint(items, (config.negatives,), generator=generator).to(transformer.items_ID.device)


@dataclass(frozen=True)
class ItemWindows:
    """Item ids from left to right, `EMPTY` after the last one."""

    items_WT: Tensor
    next_WT: Tensor  # the next item, where it is a first interaction, else EMPTY

    def to(self, device: torch.device) -> "ItemWindows":
        """The same on another device."""
        return ItemWindows(self.items_WT.to(device), self.next_WT.to(device))

    def batches(self, size: int, generator: torch.Generator) -> Iterator["ItemWindows"]:
        """All windows once in random order, about `size` interactions at a time, similar lengths together."""
        lengths_W = (self.items_WT != EMPTY).sum(dim=1)
        order_W = torch.argsort(lengths_W + 8 * torch.rand(len(lengths_W), generator=generator), descending=True)
        batch_W = torch.cumsum(lengths_W[order_W], dim=0) // size
        parts = order_W.split(torch.bincount(batch_W).tolist())
        for at in torch.randperm(len(parts), generator=generator).tolist():
            if len(parts[at]):
                seen = slice(0, int(lengths_W[parts[at]].max()))
                yield ItemWindows(self.items_WT[parts[at], seen], self.next_WT[parts[at], seen])


def windows_of(interactions: Interactions, length: int, random: np.random.Generator) -> ItemWindows:
    """Every interaction but each user's last, in windows with random starts; those without a target are left out."""
    counts_U, users_E, places_E = interactions.counts, interactions.users, interactions.places
    inputs = np.flatnonzero(places_E < counts_U[users_E] - 1)
    shift_U = np.where(counts_U > length + 1, random.integers(length, size=len(counts_U)), 0)
    shifted = places_E[inputs] + shift_U[users_E[inputs]]
    first = (places_E[inputs] == 0) | (shifted % length == 0)
    window = np.cumsum(first) - 1
    slot = np.arange(len(inputs)) - np.flatnonzero(first)[window]
    new = interactions.is_first[inputs + 1]
    items_WT, next_WT = np.full((2, int(first.sum()), length), EMPTY)
    items_WT[window, slot] = interactions.items[inputs]
    next_WT[window, slot] = np.where(new, interactions.items[inputs + 1], EMPTY)
    useful_W = (next_WT != EMPTY).any(axis=1)
    return ItemWindows(torch.from_numpy(items_WT[useful_W]), torch.from_numpy(next_WT[useful_W]))
