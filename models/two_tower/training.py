"""The loop. One step: encode the batch's distinct items once, every state of every window in one pass, one softmax."""

# B windows, W slots, N distinct items of the batch, P targets, D embedding size, K age columns

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.two_tower import losses
from models.two_tower.age import age_scores
from models.two_tower.batches import Batch, Events, batches
from models.two_tower.catalogue import Catalogue
from models.two_tower.config import TwoTowerConfig
from models.two_tower.examples import SAVE, Sequences, training_windows
from models.two_tower.towers import TwoTower
from models.two_tower.validation import EpochResult, Validation

OnEpoch = Callable[[EpochResult], None]
UNMEASURED = math.nan, math.nan


@dataclass(frozen=True)
class Lessons:
    """What a fit learns from, on the device."""

    catalogue: Catalogue
    sequences: Sequences
    events: Events
    share_I: Tensor  # each item's share of all events
    knows_ages: bool

    @classmethod
    def of(cls, catalogue: Catalogue, sequences: Sequences, device: torch.device) -> "Lessons":
        """Count the shares and move everything to the device."""
        events = Events.of(sequences, device)
        counts_I = torch.bincount(events.items_E, minlength=len(catalogue)).float()
        return cls(catalogue.to(device), sequences, events, counts_I / counts_I.sum(), catalogue.knows_ages)


def fit(
    model: TwoTower,
    lessons: Lessons,
    validation: Validation | None,
    *,
    epochs: int,
    seed: int,
    on_epoch: OnEpoch,
) -> tuple[EpochResult, ...]:
    """Train `model` in place, down to its best epoch on validation where there is one. Returns the curve."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    windows = training_windows(lessons.sequences, config.history_length + 1)
    optimizer = _optimizer(model)
    curve: list[EpochResult] = []
    best_state = model.state_dict()
    for epoch in range(1, epochs + 1):
        order = batches(windows, lessons.events, len(lessons.catalogue), config, generator)
        loss = train_epoch(model, lessons, order, optimizer)
        figures = validation.measure(model, lessons.catalogue, config.validation_k) if validation else UNMEASURED
        rate = float(optimizer.param_groups[0]["lr"])
        curve.append(EpochResult(epoch, epochs, loss, rate, *figures, refit=validation is None))
        on_epoch(curve[-1])
        if epoch == best_epoch(curve):
            best_state = copy.deepcopy(model.state_dict())
        if epoch - best_epoch(curve) >= config.patience:
            break
    model.load_state_dict(best_state)
    return tuple(curve)


def _optimizer(model: TwoTower) -> torch.optim.Optimizer:
    config = model.config
    return torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)


def train_epoch(model: TwoTower, lessons: Lessons, epoch: Iterable[Batch], optimizer: torch.optim.Optimizer) -> float:
    """One pass; the mean loss of its steps."""
    model.train()
    total, steps = 0.0, 0
    for batch in epoch:
        with torch.autocast("cuda", torch.bfloat16, enabled=batch.rows_N.is_cuda):
            loss = batch_loss(model, lessons, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, steps = total + loss.item(), steps + 1
    return total / max(steps, 1)


def batch_loss(model: TwoTower, lessons: Lessons, batch: Batch) -> Tensor:
    """Sampled softmax over the batch's distinct items, as if each target were asked at its own moment."""
    config, events, candidates = model.config, lessons.events, len(batch.rows_N)
    item_ND = model.items(lessons.catalogue, batch.rows_N)
    history = events.history(batch.slots_BW, batch.user_B, batch.item_vectors(item_ND))
    taste_PD, curve_PK = model.users(history, batch.is_target_BW)
    slot_P, target_P = batch.slots_BW[batch.is_target_BW], batch.items_BW[batch.is_target_BW]
    taste_PD = taste_PD / config.temperature
    positive_P = (taste_PD * item_ND[target_P]).sum(dim=1)
    negative_PN = losses.correct_sampling(taste_PD @ item_ND.T, log_q(lessons, batch, config))
    excluded_PN = losses.accidental_hits(batch.is_target_BW.nonzero()[:, 0], batch.items_BW, candidates)
    if lessons.knows_ages:
        age_PN = ages(events.hours_E[slot_P], lessons.catalogue.created_hours_I[batch.rows_N])
        excluded_PN |= losses.not_yet_created(age_PN)
        if model.age_columns:
            positive_P = (
                positive_P + age_scores(curve_PK, age_PN.gather(1, target_P[:, None]), config.age_max_days)[:, 0]
            )
            negative_PN = negative_PN + age_scores(curve_PK, age_PN, config.age_max_days)
    weight_P = torch.where(events.actions_E[slot_P] == SAVE, config.save_weight, config.click_weight)
    return losses.sampled_softmax(positive_P, negative_PN, excluded_PN, weight_P)


def ages(moment_P: Tensor, created_N: Tensor) -> Tensor:
    """`[P, N]` hours. Single precision once the common offset is gone, or minutes drown in the years since 1970."""
    base = moment_P[:1]
    return (moment_P - base).float()[:, None] - (created_N - base).float()


def log_q(lessons: Lessons, batch: Batch, config: TwoTowerConfig) -> Tensor:
    """`[N]` log chance of each candidate to be among the batch's items; 0 where all items are."""
    items = len(lessons.catalogue)
    if config.uniform_negatives >= items:
        return torch.zeros(len(batch.rows_N), device=batch.rows_N.device)
    drawn = int((batch.slots_BW >= 0).sum())
    return losses.log_inclusion(lessons.share_I[batch.rows_N], drawn, 1 / items, config.uniform_negatives)


def best_epoch(curve: list[EpochResult] | tuple[EpochResult, ...]) -> int:
    """The epoch with the best validation NDCG; the last where nothing was validated."""
    measured = [result for result in curve if not math.isnan(result.validation_ndcg)]
    return max(measured, key=lambda result: result.validation_ndcg).epoch if measured else len(curve)
