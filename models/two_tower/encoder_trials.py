"""Fits each encoder that applies to the data to a part of them, and measures it on the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

import torch

from contracts.errors import UnknownEncoder
from models.two_tower.budget import Budget, training_minutes
from models.two_tower.catalogue import ItemCatalogue
from models.two_tower.collaborative.collaborative_config import BagConfig, CollaborativeConfig, SequenceConfig
from models.two_tower.collaborative.fit import Fits
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder
from models.two_tower.collaborative.search import (
    EASE,
    EASE_STEPS,
    IALS,
    IALS_STEPS,
    RIDGE,
    RIDGE_STEPS,
    SVD,
    SVD_STEPS,
    high_rank,
    low_rank,
    search,
)
from models.two_tower.csr_interactions import Interactions
from models.two_tower.encoders import ContentEncoder, concatenated
from models.two_tower.holdout import Encoder, HeldOut
from models.two_tower.training_loop import CPU, EpochResult, RunWith, best_epoch
from models.two_tower.two_tower_config import TwoTowerConfig

EASE_BONUS = 1.05
"""Factor on EASE's validation NDCG, since a tenth held out understates it: on eleven random fifths of MovieLens-100K
and Deskdrop it was above the plain SVD in ten, by 4 % in the median; validation put it between 5 % below and 2 % above.
"""
BAG_WEIGHTS = (0.6, 0.75, 0.85, 1.0)
SEARCH_SHARE = 1 / 3
"""Share of the minutes for the small bag with which validation selects the weight. On Gowalla's, the same weight was
the best one for 256, 512 and 1,024 dimensions, and more dimensions were better with it."""
MOST_LEFT_OUT = 0.02
"""Share of the interactions that a trained transformer may lack in the end; above it, it is trained again with all."""
MOST_COLD = 0.5
"""Share of validation targets without any interaction above which encoders of item ids are not tried."""
FAR_BEHIND = 1.5
"""Factor in validation NDCG above which an encoder is not worth a search, a training or a place beside the best."""
ORDER_FREE = ("svd", "ease", "ials", "bag")


@dataclass(frozen=True)
class Trial:
    """An encoder fitted to the past of a held-out set, its NDCG there, and how to fit it to everything."""

    name: str
    encoder: Encoder
    ndcg: float
    config: dict[str, Any]
    refit: Callable[[], Encoder]


class ContentTraining(Protocol):
    """Trains the content encoder on parts of the data."""

    def on_past(self, held_out: HeldOut, seconds: float) -> tuple[ContentEncoder, tuple[EpochResult, ...]]:
        """Trained on what is not held out for so many seconds at most, down to the best epoch."""
        ...

    def on_everything(self, encoder: ContentEncoder) -> ContentEncoder:
        """Trained on."""
        ...


@dataclass
class EncoderTrials:
    """Fits encoders to what is not held out, and measures them on the rest."""

    held_out: HeldOut
    catalogue: ItemCatalogue
    interactions: Interactions
    config: TwoTowerConfig
    seed: int
    content: ContentTraining | None
    run_with: RunWith = field(default_factory=RunWith)
    device: torch.device = CPU
    _best_ndcg: float = field(default=0.0, init=False)

    def unselected(self) -> Encoder:
        """The forced encoder, or the truncated SVD, with the shipped settings and without validation."""
        everything, forced = self.interactions, self.config.encoder
        if forced == "sequence":
            return self._everything(sequence_config(self.config.sequence, everything))
        if forced == "bag":
            sizes = self._widest(self.config.bag)
            bag = CollaborativeConfig(encoder="bag", bag=sizes, embedding_size=sizes.embedding_size)
            return self._everything(bag)
        if forced == "ease":
            return self._everything(high_rank(EASE, everything))
        of_closed_forms = {"auto": SVD, "svd": SVD, "ridge": RIDGE, "ials": IALS}
        if forced not in of_closed_forms:
            raise UnknownEncoder(f"{forced}: EncoderTrials cannot fit it without validation; add it to `unselected`")
        return self._everything(low_rank(of_closed_forms[forced], everything))

    @property
    def names(self) -> tuple[str, ...]:
        """The encoders that apply to the data."""
        if self.config.encoder != "auto":
            return (self.config.encoder,)
        content = ("content",) if self.content is not None else ()
        if self.held_out.cold_share > MOST_COLD and content:
            return content
        if self.config.validation == "random":
            return ORDER_FREE
        return ("svd", "ease", "ials", "ridge", *(("sequence",) if self.held_out.past.targets else ()), *content)

    @cached_property
    def minutes(self) -> float:
        """What each training may take, by an estimate made beforehand."""
        return training_minutes(self.interactions, self.config.minutes) / self._trainings

    @cached_property
    def _trainings(self) -> int:
        return max(1, sum(name in ("bag", "sequence", "content") for name in self.names))

    @cached_property
    def fits(self) -> Fits:
        """Fits of the past."""
        return Fits(self.held_out.past, self.seed, self.run_with, device=self.device)

    def all(self) -> list[Trial]:
        """Every encoder that applies to the data and is worth its time."""
        names, trials = self.names, list[Trial]()
        if "content" in names and self.content is not None:
            trials.append(self._content(self.content))
        if "ridge" in names:
            trials.append(self._closed_form("ridge"))
        linear = [self._closed_form(name) for name in ("svd", "ease") if name in names or "bag" in names]
        if linear:
            base = max(linear, key=lambda trial: trial.ndcg * (EASE_BONUS if trial.name == "ease" else 1))
            trials += [base] if base.name in names else []
            trials += self._bag(base) if "bag" in names else []
        if "ials" in names:
            trials.append(self._closed_form("ials"))
        if "sequence" in names and not self._far_behind(trials):
            trials.append(self._sequence())
        return trials

    def _far_behind(self, trials: Sequence[Trial]) -> bool:
        """Whether the closed forms on ids are so far below content that a transformer cannot close the gap."""
        of_ids = [trial.ndcg for trial in trials if trial.name != "content"]
        return bool(of_ids) and self._best_ndcg > FAR_BEHIND * max(of_ids)

    def measure(self, encoder: Encoder) -> tuple[float, float]:
        """Recall and NDCG on what is held out."""
        return self.held_out.measure(encoder, self.catalogue, self.config.validation_k)

    def tried(
        self, name: str, encoder: Encoder, ndcg: float, config: dict[str, Any], refit: Callable[[], Encoder]
    ) -> Trial:
        """Reports an encoder that was measured."""
        self.run_with.on_trial(name, ndcg)
        self._best_ndcg = max(self._best_ndcg, ndcg)
        return Trial(name, encoder, ndcg, config, refit)

    def _closed_form(self, name: str) -> Trial:
        past = self.held_out.past
        start, steps = {
            "svd": (low_rank(SVD, past), SVD_STEPS),
            "ease": (high_rank(EASE, past), EASE_STEPS),
            "ials": (low_rank(IALS, past), IALS_STEPS),
            "ridge": (low_rank(RIDGE, past), RIDGE_STEPS),
        }[name]
        best, ndcg = search(self._quality, start, steps if self._promising(start) else (), past)
        return self.tried(name, self.fits.encoder(best), ndcg, best.chosen, lambda: self._everything(best))

    def _quality(self, config: CollaborativeConfig) -> float:
        return self.measure(self.fits.encoder(config))[1]

    def _promising(self, start: CollaborativeConfig) -> bool:
        """Whether a search has a chance: not where another encoder has left the shipped settings far behind."""
        return not self._best_ndcg or self._best_ndcg <= FAR_BEHIND * self._quality(start)

    def _everything(self, config: CollaborativeConfig) -> CollaborativeEncoder:
        return Fits(self.interactions, self.seed, self.run_with, device=self.device).encoder(config)

    def _bag(self, base: Trial) -> list[Trial]:
        """A learned bag beside a closed form: one is better for users of short histories, the other for the rest."""
        start = CollaborativeConfig(encoder="bag", bag=self.config.bag)
        if not (sizes := Budget(self.held_out.past, 60 * self.minutes * SEARCH_SHARE).bag(self._widest(start.bag))):
            return []
        small = start.changed({"bag": sizes, "embedding_size": sizes.embedding_size})
        bag = self.fits.encoder(small)
        best: Trial | None = None
        for weight in BAG_WEIGHTS:
            both = concatenated((bag, base.encoder), (weight, 1 - weight), self.catalogue, self.held_out.hours)
            ndcg = self.measure(both)[1]
            if best is None or ndcg > best.ndcg:
                config = {**small.chosen, "beside": base.config, "weight": weight}
                best = self.tried("bag", both, ndcg, config, partial(self._wide_bag, start, base, weight))
        return [best] if best else []

    def _wide_bag(self, start: CollaborativeConfig, base: Trial, weight: float) -> Encoder:
        budget = Budget(self.interactions, 60 * self.minutes * (1 - SEARCH_SHARE))
        sizes = budget.bag(self._widest(start.bag)) or start.bag
        bag = self._everything(start.changed({"bag": sizes, "embedding_size": sizes.embedding_size}))
        return concatenated((bag, base.refit()), (weight, 1 - weight), self.catalogue, self.held_out.hours)

    def _widest(self, sizes: BagConfig) -> BagConfig:
        past = self.held_out.past
        return sizes.model_copy(
            update={"embedding_size": max(1, min(sizes.embedding_size, len(past.counts), past.item_count))}
        )

    def _sequence(self) -> Trial:
        past = self.held_out.past
        budget = Budget(past, 60 * self.minutes / (1 if self._nearly_everything else 2), self.device)
        config = sequence_config(self.config.sequence, past)
        config = config.model_copy(update={"sequence": budget.sequence(config.sequence)})
        encoder = self.fits.encoder(config, measure=self.measure)
        curve = self.fits.curve
        best = best_epoch(curve)
        again = config.changed({"sequence": {"epochs": best, "min_steps": 1}})
        refit = (lambda: encoder) if self._nearly_everything else (lambda: self._everything(again))
        return self.tried("sequence", encoder, curve[best - 1].validation_ndcg, config.chosen, refit)

    @property
    def _nearly_everything(self) -> bool:
        return len(self.held_out.past.items) >= (1 - MOST_LEFT_OUT) * len(self.interactions.items)

    def _content(self, content: ContentTraining) -> Trial:
        # all of the minutes: a limit by the clock that is near the usual time gives worse models on a busy machine
        encoder, curve = content.on_past(self.held_out, 60 * self.config.minutes / self._trainings)
        ndcg = curve[best_epoch(curve) - 1].validation_ndcg
        return self.tried("content", encoder, ndcg, {"encoder": "content"}, lambda: content.on_everything(encoder))


def sequence_config(sizes: SequenceConfig, past: Interactions) -> CollaborativeConfig:
    """A transformer whose item vectors start in the decomposition of the ridge; each head has whole dimensions."""
    size = low_rank(CollaborativeConfig(embedding_size=sizes.embedding_size), past).embedding_size
    size = max(sizes.heads, size // sizes.heads * sizes.heads)
    sequence = sizes.model_copy(update={"embedding_size": size})
    return RIDGE.model_copy(update={"encoder": "sequence", "embedding_size": size, "sequence": sequence})
