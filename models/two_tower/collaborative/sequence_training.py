"""Training of the sequence encoder. One step: some windows of interactions, each position a training example."""

# W windows, T slots of a window, P training examples, I items, N sampled items

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from contracts.errors import UntrainableInput
from models.two_tower.collaborative.config import SequenceConfig
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.collaborative.sequence_batches import EMPTY, windows_of
from models.two_tower.compute_device import half_precision
from models.two_tower.interactions import Interactions
from models.two_tower.training_loop import EpochResult, Measure, RunWith, Training, one_cycle, run

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
            target_WT = part.next_WT != EMPTY
            with half_precision(device):
                vectors_PD = transformer(part.items_WT)[target_WT]
                negatives_N = sampled_items(transformer, config, generator)
                loss = transformer.loss(vectors_PD, part.next_WT[target_WT], negatives_N)
            yield step / len(parts), loss

    training = Training(
        optimizer_of(transformer, config),
        config.learning_rate,
        epochs_of(interactions, config),
        one_cycle,
        LONGEST_GRADIENT,
        deadline=run_with.deadline,
    )
    return run(transformer, losses, training, measure, run_with.on_epoch)


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
