"""The loop. One step: some lessons in any order, one softmax; the best epoch on validation stays."""

# P lessons, K memory columns, I items, N sampled items

import copy
from collections.abc import Callable, Iterable
from itertools import chain

import torch
from torch import Tensor

from tastefeed.models.two_tower.memory.config import MemoryConfig
from tastefeed.models.two_tower.memory.memories import Lessons
from tastefeed.models.two_tower.memory.network import Network
from tastefeed.models.two_tower.memory.tower import EpochResult

Measure = Callable[[Network], float]
KINDS = (torch.bfloat16, torch.int64)
"""A million states of a thousand columns are 2 GB in half precision."""


def learn(
    network: Network, lessons: Lessons, config: MemoryConfig, *, seed: int, measure: Measure
) -> tuple[EpochResult, ...]:
    """Train `network` in place, down to its best epoch by `measure`. Returns the curve; the same seed, the same one."""
    generator, count = torch.Generator().manual_seed(seed), len(lessons.items_P)
    rate = config.learning_rate
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=config.weight_decay, fused=True)
    steps = config.epochs * -(-count // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    curve: list[EpochResult] = []
    best = network.state_dict()
    for epoch in range(1, config.epochs + 1):
        losses = []
        for some_P in torch.randperm(count, generator=generator).split(config.batch_size):
            with half_precision():
                vectors_PD = network(lessons.states_PK[some_P])
                loss = network.loss(vectors_PD, lessons.items_P[some_P], sampled(network, config, generator))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())  # a tensor kept from each step would pin the heap between its large ones
        curve.append(EpochResult(epoch, sum(losses) / len(losses), float(schedule.get_last_lr()[0]), measure(network)))
        if not any(result.ndcg > curve[-1].ndcg for result in curve):  # the last of equals, and of unmeasured ones
            best = copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    return tuple(curve)


def half_precision() -> torch.autocast:
    """Where the processor multiplies bfloat16 natively, three times as fast; elsewhere it would be slower."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())


def sampled(network: Network, config: MemoryConfig, generator: torch.Generator) -> Tensor | None:
    """[N] items that a step's people are told they did not want; None: all of them."""
    items = len(network.bias_I)
    return torch.randint(items, (config.negatives,), generator=generator) if items > config.negatives else None


def together(lessons: Iterable[Lessons], count: int) -> Lessons:
    """All lessons as one, `count` of them."""
    found = iter(lessons)
    first = next(found)
    whole = [
        torch.empty(count, *part.shape[1:], dtype=kind) for part, kind in zip(vars(first).values(), KINDS, strict=True)
    ]
    at = 0
    for lesson in chain([first], found):
        for into, part in zip(whole, vars(lesson).values(), strict=True):
            into[at : at + len(part)] = part
        at += len(lesson.items_P)
    return Lessons(*whole)
