"""Training of the content encoder. One step: encode the batch's distinct items once, then all states, one softmax.

The loss is a sampled softmax over the items of the batch, corrected for how often they are sampled.
"""

# B windows, W slots, N distinct items of the batch, P targets, D embedding size, K age columns
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contracts.errors import UncontinuableModel
from models.two_tower.catalogue import ItemCatalogue
from models.two_tower.csr_interactions import SAVE, Interactions
from models.two_tower.encoders import ContentEncoder
from models.two_tower.examples import EventTensors, TrainingBatch, batches, training_windows
from models.two_tower.holdout import HeldOut
from models.two_tower.text import TextEmbedder
from models.two_tower.towers import TwoTower, age_scores
from models.two_tower.training_loop import EpochResult, Measure, RunWith, Training, constant, run
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabularies


@dataclass(frozen=True)
class TrainingData:
    """What a fit is trained on, on the device."""

    catalogue: ItemCatalogue
    interactions: Interactions
    events: EventTensors
    share_I: Tensor  # each item's share of all events
    has_ages: bool

    @classmethod
    def of(cls, catalogue: ItemCatalogue, interactions: Interactions, device: torch.device) -> "TrainingData":
        """Count the shares and move everything to the device."""
        events = EventTensors.of(interactions, device)
        counts_I = torch.bincount(events.items_E, minlength=len(catalogue)).float()
        return cls(catalogue.to(device), interactions, events, counts_I / counts_I.sum(), catalogue.has_ages)


def fit(
    model: TwoTower, data: TrainingData, measure: Measure | None, *, epochs: int, seed: int, run_with: RunWith
) -> tuple[EpochResult, ...]:
    """Train `model` in place, down to its best epoch on validation where there is one. Returns the curve."""
    device = data.events.items_E.device
    config, generator = model.config.on(device.type), torch.Generator().manual_seed(seed)
    windows = training_windows(data.interactions, config.history_length + 1)
    decay = config.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=decay, fused=True)

    def losses(_: int) -> Iterator[tuple[float, Tensor]]:
        for batch in batches(windows, data.events, len(data.catalogue), config, generator):
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                loss = batch_loss(model, data, batch)
            yield 0.0, loss

    training = Training(
        optimizer, config.learning_rate, epochs, constant, 1.0, patience=config.patience, deadline=run_with.deadline
    )
    return run(model, losses, training, measure, run_with.on_epoch)


def batch_loss(model: TwoTower, data: TrainingData, batch: TrainingBatch) -> Tensor:
    """Sampled softmax over the batch's distinct items, each target as of its own instant."""
    config, events, candidates = model.config, data.events, len(batch.rows_N)
    item_ND = model.items(data.catalogue, batch.rows_N)
    history = events.history(batch.slots_BW, batch.user_B, batch.item_vectors(item_ND))
    taste_PD, curve_PK = model.users(history, batch.is_target_BW)
    slot_P, target_P = batch.slots_BW[batch.is_target_BW], batch.items_BW[batch.is_target_BW]
    taste_PD = taste_PD / config.temperature
    positive_P = (taste_PD * item_ND[target_P]).sum(dim=1)
    negative_PN = correct_sampling(taste_PD @ item_ND.T, log_q(data, batch, config))
    excluded_PN = accidental_hits(batch.is_target_BW.nonzero()[:, 0], batch.items_BW, candidates)
    if data.has_ages:
        age_PN = ages(events.hours_E[slot_P], data.catalogue.created_hours_I[batch.rows_N])
        excluded_PN |= not_yet_created(age_PN)
        if model.age_columns:
            positive_P = (
                positive_P + age_scores(curve_PK, age_PN.gather(1, target_P[:, None]), config.age_max_days)[:, 0]
            )
            negative_PN = negative_PN + age_scores(curve_PK, age_PN, config.age_max_days)
    weight_P = torch.where(events.actions_E[slot_P] == SAVE, config.save_weight, config.click_weight)
    return sampled_softmax(positive_P, negative_PN, excluded_PN, weight_P)


def ages(moment_P: Tensor, created_N: Tensor) -> Tensor:
    """`[P, N]` hours. Single precision once the common offset is gone, or minutes drown in the years since 1970."""
    base = moment_P[:1]
    return (moment_P - base).float()[:, None] - (created_N - base).float()


def log_q(data: TrainingData, batch: TrainingBatch, config: TwoTowerConfig) -> Tensor:
    """`[N]` log chance of each candidate to be among the batch's items; 0 where all items are."""
    items = len(data.catalogue)
    if config.uniform_negatives >= items:
        return torch.zeros(len(batch.rows_N), device=batch.rows_N.device)
    drawn = int((batch.slots_BW >= 0).sum())
    return log_inclusion(data.share_I[batch.rows_N], drawn, 1 / items, config.uniform_negatives)


@dataclass(frozen=True)
class ContentTrainer:
    """Trains the content encoder, on a part of the interactions or on all of them."""

    catalogue: ItemCatalogue
    interactions: Interactions
    words: Vocabularies
    text: TextEmbedder
    config: TwoTowerConfig
    seed: int
    device: torch.device
    run_with: RunWith

    def on_past(self, held_out: HeldOut, seconds: float = math.inf) -> tuple[ContentEncoder, tuple[EpochResult, ...]]:
        """Trained on what is not held out for so many seconds at most, down to the best epoch on validation."""
        encoder = ContentEncoder(self.untrained())

        def measure() -> tuple[float, float]:
            return held_out.measure(encoder, self.catalogue, self.config.validation_k)

        return encoder, fit(
            encoder.model,
            self._data(held_out.past),
            measure,
            epochs=self.config.epochs,
            seed=self.seed,
            run_with=replace(self.run_with, deadline=self.run_with.deadline.within(seconds)),
        )

    def on_everything(self, encoder: ContentEncoder) -> ContentEncoder:
        """Trained on with all interactions for a few epochs."""
        return self._trained_on(encoder, self.interactions, self.config.refit_epochs, self.seed + 1)

    def fitted(self, held_out: HeldOut) -> ContentEncoder:
        """The epoch chosen by validation, where anything is held out, and then everything."""
        if not len(held_out.users):
            encoder = ContentEncoder(self.untrained())
            return self._trained_on(encoder, self.interactions, self.config.epochs, self.seed)
        return self.on_everything(self.on_past(held_out)[0])

    def continued(self, start: ContentEncoder, since_hours: float) -> ContentEncoder:
        """With an earlier model's weights, trained on with the users that have an interaction since an instant, while
        there is time."""
        model = self.untrained()
        _copy_weights(model, start.model)
        latest_U = np.full(len(self.interactions.counts), -np.inf)
        np.maximum.at(latest_U, self.interactions.users, self.interactions.hours)
        back = self.interactions.take(np.flatnonzero(latest_U >= since_hours))
        if not len(back.items) or self.run_with.deadline.passed:
            return ContentEncoder(model.eval())
        return self._trained_on(ContentEncoder(model), back, self.config.epochs, self.seed)

    def untrained(self) -> TwoTower:
        """The same at each call."""
        torch.manual_seed(self.seed)
        return TwoTower(self.config, self.words, self.text.size, has_ages=self.catalogue.has_ages).to(self.device)

    def _trained_on(
        self, encoder: ContentEncoder, interactions: Interactions, epochs: int, seed: int
    ) -> ContentEncoder:
        fit(encoder.model, self._data(interactions), None, epochs=epochs, seed=seed, run_with=self.run_with)
        return ContentEncoder(encoder.model.eval())

    def _data(self, interactions: Interactions) -> TrainingData:
        return TrainingData.of(self.catalogue, interactions, self.device)


def _copy_weights(model: TwoTower, earlier: TwoTower) -> None:
    """Copy every weight; an embedding that has grown keeps its new rows as they were drawn."""
    old, new = earlier.state_dict(), model.state_dict()
    for name, weight in new.items():
        if name not in old or old[name].shape[1:] != weight.shape[1:] or len(old[name]) > len(weight):
            raise UncontinuableModel(
                f"start: {name} does not fit {tuple(weight.shape)}; continue with the config and columns of the start, "
                "or train anew"
            )
        weight[: len(old[name])] = old[name]


def log_inclusion(batch_share_N: Tensor, drawn: int, uniform_share: float, uniform: int) -> Tensor:
    """`[N]` log chance that an item is a candidate: `drawn` times by its share of events, `uniform` times evenly."""
    expected_N = batch_share_N * drawn + uniform_share * uniform
    return torch.log(-torch.expm1(-expected_N))


def correct_sampling(logits_PN: Tensor, log_q_N: Tensor) -> Tensor:
    """Undo the popularity bias of sampled negatives (logQ: Bengio & Senécal 2003; Yi et al. 2019)."""
    return logits_PN - log_q_N


def accidental_hits(window_P: Tensor, items_BW: Tensor, candidates: int) -> Tensor:
    """`[P, N]` true where a candidate is the target or another item of the target's window (`items_BW`; -1 is empty).

    In-batch items repeat, and a twin of the positive is not a negative. Neither is the user's own past and future: it
    is always among the candidates, however rare, and so logQ would count it far too much.
    """
    own_BN = torch.zeros(len(items_BW), candidates + 1, dtype=torch.bool, device=items_BW.device)
    own_BN.scatter_(1, items_BW.where(items_BW >= 0, candidates), value=True)
    return own_BN[:, :-1][window_P]


def not_yet_created(age_hours_PN: Tensor) -> Tensor:
    """`[P, N]` true where a candidate did not exist at the target's moment; an unknown age (NaN) counts as existing."""
    return age_hours_PN < 0


def sampled_softmax(positive_P: Tensor, negative_PN: Tensor, excluded_PN: Tensor, weight_P: Tensor) -> Tensor:
    """Weighted mean of -log softmax of each positive among its negatives.

    The positive itself is not corrected: it is there with certainty, the negatives estimate the rest of the softmax's
    denominator (Bengio & Senécal 2003).
    """
    negatives_P = torch.logsumexp(negative_PN.masked_fill(excluded_PN, -torch.inf), dim=1)
    # a weight of 0 is allowed for clicks and for saves, and a batch may have one of them alone
    return (F.softplus(negatives_P - positive_P) * weight_P).sum() / weight_P.sum().clamp(min=1e-6)
