"""The loop. One step: some windows of touches, each touch a lesson; the best epoch on validation stays."""

# W windows, T touches of a window, P lessons, I items, N sampled items

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from contracts.errors import UntrainableInput
from models.two_tower.memory.attention import Attention
from models.two_tower.memory.config import AttentionConfig
from models.two_tower.memory.histories import Histories
from models.two_tower.memory.precision import half_precision
from models.two_tower.memory.tower import EpochResult
from models.two_tower.memory.windows import NOTHING, cut

Measure = Callable[[Attention], float]
WARM_UP = 0.1
"""Share of the training in which the steps still grow."""
LONGEST_GRADIENT = 5.0


def learn(
    attention: Attention, histories: Histories, config: AttentionConfig, *, seed: int, measure: Measure
) -> tuple[EpochResult, ...]:
    """Train in place, down to the best epoch by `measure`. Returns the curve; the same seed, the same one. Raises
    `UntrainableInput` where nobody touched two items."""
    if not histories.lessons:
        raise UntrainableInput("no history holds two items, and attention learns what follows; use another readout")
    generator, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    optimizer = optimizer_of(attention, config)
    curve: list[EpochResult] = []
    best, epochs = attention.state_dict(), epochs_of(histories, config)
    for epoch in range(epochs):
        batches = list(
            cut(some_of(histories, config, random), config.window, random).batches(config.batch_size, generator)
        )
        losses = []
        for step, windows in enumerate(batches):
            asked_WT = windows.next_WT != NOTHING
            with half_precision():
                vectors_PD = attention(windows.items_WT)[asked_WT]
                loss = attention.loss(vectors_PD, windows.next_WT[asked_WT], sampled(attention, config, generator))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(attention.parameters(), LONGEST_GRADIENT)
            set_rate(optimizer, config.learning_rate * share_of_rate((epoch + step / len(batches)) / epochs))
            optimizer.step()
            losses.append(loss.item())  # a tensor kept from each step would pin the heap between its large ones
        rate = float(optimizer.param_groups[0]["lr"])
        curve.append(EpochResult(epoch + 1, sum(losses) / len(losses), rate, measure(attention)))
        if not any(result.ndcg > curve[-1].ndcg for result in curve):  # the last of equals, and of unmeasured ones
            best = copy.deepcopy(attention.state_dict())
    attention.load_state_dict(best)
    return tuple(curve)


def epochs_of(histories: Histories, config: AttentionConfig) -> int:
    """More passes where there are few steps in each."""
    steps = -(-min(histories.lessons, config.lessons) // config.batch_size)
    return max(config.epochs, min(4 * config.epochs, -(-config.fewest_steps // max(steps, 1))))


def some_of(histories: Histories, config: AttentionConfig, random: np.random.Generator) -> Histories:
    """All users, or in each epoch others, where there are too many touches."""
    step = -(-len(histories.items) // config.lessons)
    return histories if step == 1 else histories.take(np.arange(random.integers(step), len(histories.counts), step))


def optimizer_of(attention: Attention, config: AttentionConfig) -> torch.optim.Optimizer:
    """AdamW, whose decay is for matrices."""
    matrices = [each for each in attention.parameters() if each.dim() > 1]
    others = [each for each in attention.parameters() if each.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, 0.98), fused=True)


def share_of_rate(progress: float) -> float:
    """Of the highest step: rises in a line, and falls as a cosine does."""
    fallen = max(0.0, progress - WARM_UP) / (1 - WARM_UP)
    return min(1.0, (progress + 1e-3) / WARM_UP) * (1 + math.cos(math.pi * fallen)) / 2


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def sampled(attention: Attention, config: AttentionConfig, generator: torch.Generator) -> Tensor | None:
    """[N] items that a step's people are told they did not want; None: all of them."""
    items = len(attention.bias_I)
    return torch.randint(items, (config.negatives,), generator=generator) if items > config.negatives else None
