"""Selects the encoder, or a concatenation of encoders, that validates best, beside baselines as a safety floor."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from contracts.errors import UntrainableInput
from evaluation.top_k import ScoresOf
from models.baselines.item_similarity import ItemKnnConfig, item_knn_scores
from models.baselines.matrix_factorization import IalsConfig, ials_scores
from models.baselines.popularity import popularity_scores
from models.two_tower.encoder_trials import FAR_BEHIND, EncoderTrials, Trial
from models.two_tower.encoders import concatenated
from models.two_tower.holdout import Encoder, HeldOut

OTHER_WEIGHTS = (0.15, 0.3, 0.5)
"""Weights of the second encoder that are tried in a concatenation."""
WORTHWHILE = 1.01
"""What a concatenation must gain over the better of its parts, since it makes vectors longer."""
LEAST_USERS = 20
"""Validation users below which nothing is selected."""


@dataclass(frozen=True)
class Selection:
    """What was selected, and the validation NDCG@k of everything that was tried."""

    selected: str
    encoders: dict[str, float]
    baselines: dict[str, float]
    config: dict[str, Any]
    users: int

    @property
    def beaten_by(self) -> tuple[str, ...]:
        """The baselines that validated better than the selected encoder."""
        reached = self.encoders[self.selected]
        return tuple(name for name, ndcg in self.baselines.items() if ndcg > reached)

    def as_json(self) -> dict[str, Any]:
        """For manifests, metrics and logs."""
        return asdict(self) | {"beaten_by": list(self.beaten_by)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Selection":
        """What `as_json` gave."""
        return cls(**{each.name: saved[each.name] for each in fields(cls)})


@dataclass(frozen=True)
class Selector:
    """Selects among the trials on one held-out set."""

    trials: EncoderTrials

    def select(self) -> tuple[Encoder, Selection]:
        """The encoder that validates best, fitted to everything. Raises `UntrainableInput` where none can be tried."""
        tried = self.trials.all()
        if not tried:
            raise UntrainableInput(
                f"the encoder {self.trials.config.encoder} cannot be trained on these data; use auto"
            )
        best = max([*tried, *self._concatenations(tried)], key=lambda trial: trial.ndcg)
        baselines = baseline_ndcg(self.trials.held_out, self.trials.config.validation_k, self.trials.seed)
        figures = {trial.name: trial.ndcg for trial in [*tried, best]}
        selection = Selection(best.name, figures, baselines, best.config, len(self.trials.held_out.users))
        return best.refit(), selection

    def _concatenations(self, tried: Sequence[Trial]) -> list[Trial]:
        """The best encoder with each of the two after it."""
        if self.trials.config.encoder != "auto" or len(tried) < 2:
            return []
        first, *others = sorted(tried, key=lambda trial: -trial.ndcg)
        others = [other for other in others if FAR_BEHIND * other.ndcg >= first.ndcg and not _overlap(first, other)]
        trials = [self._beside(first, other) for other in others[:2]]
        return [trial for trial in trials if trial.ndcg > WORTHWHILE * first.ndcg]

    def _beside(self, first: Trial, other: Trial) -> Trial:
        """Both, with the best weight."""
        measured = [(self.trials.measure(self._weighted(first, other, weight))[1], weight) for weight in OTHER_WEIGHTS]
        ndcg, weight = max(measured)
        weights, hours = (1 - weight, weight), self.trials.held_out.hours
        return self.trials.tried(
            f"{first.name} and {other.name}",
            self._weighted(first, other, weight),
            ndcg,
            {"encoder": "concatenation", "parts": [first.config, other.config], "weights": list(weights)},
            lambda: concatenated((first.refit(), other.refit()), weights, self.trials.catalogue, hours),
        )

    def _weighted(self, first: Trial, other: Trial, weight: float) -> Encoder:
        parts, weights = (first.encoder, other.encoder), (1 - weight, weight)
        return concatenated(parts, weights, self.trials.catalogue, self.trials.held_out.hours)


def _overlap(one: Trial, other: Trial) -> bool:
    """Whether one of them is a part of the other: a bag has a truncated SVD or EASE beside it."""
    return {one.name, other.name} in ({"bag", "svd"}, {"bag", "ease"})


def baseline_ndcg(held_out: HeldOut, k: int, seed: int) -> dict[str, float]:
    """Validation NDCG@k of popularity, item-kNN and iALS, fitted to what is not held out."""
    liked = held_out.past.pairs()
    baselines = {
        "most_popular": popularity_scores(liked),
        "item_knn": item_knn_scores(liked, ItemKnnConfig()),
        "ials": ials_scores(liked, IalsConfig(), seed=seed),
    }
    return {name: _ndcg(held_out, scores_of, k) for name, scores_of in baselines.items()}


def _ndcg(held_out: HeldOut, scores_of: ScoresOf, k: int) -> float:
    rows = held_out.users.astype(np.int32)
    return held_out.measure_scores(lambda some: scores_of(rows[some]), k)[1]
