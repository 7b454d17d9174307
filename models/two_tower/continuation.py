"""A later cutoff's encoder, from the one of the cutoff before: the kind stays, the weights go on or are solved anew."""

import math
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.errors import UntrainableInput
from models.two_tower.catalogue import hours_of
from models.two_tower.collaborative.config import CollaborativeConfig
from models.two_tower.collaborative.encoder import CollaborativeEncoder, codes_of
from models.two_tower.collaborative.fit import Fits
from models.two_tower.encoders import Concatenation, ContentEncoder, concatenated
from models.two_tower.holdout import Encoder

if TYPE_CHECKING:
    from models.two_tower.trained import ContentTrainer

LEARNING_RATE = 0.25
"""Of a transformer that goes on, as a share of that of its first training."""


def continued(start: Encoder, data: "ContentTrainer", since: datetime | None) -> Encoder:
    """Towers and transformers are trained on, closed forms and bags are fitted anew to everything."""
    if isinstance(start, Concatenation):
        parts = tuple(continued(part, data, since) for part in start.parts)
        return concatenated(parts, start.weights, data.catalogue, float(data.interactions.hours.max()) + 1)
    if isinstance(start, ContentEncoder):
        return data.continued(start, -math.inf if since is None else hours_of(since))
    if isinstance(start, CollaborativeEncoder):
        return _refitted(start, data)
    raise UntrainableInput(f"an encoder of type {type(start).__name__} cannot be continued; train without a start")


def _refitted(start: CollaborativeEncoder, data: "ContentTrainer") -> CollaborativeEncoder:
    everything = data.interactions.recoded(codes_of(data.catalogue), len(data.words.items.words))
    fits = Fits(everything, data.seed, data.run_with, device=data.device)
    if start.config.encoder != "sequence":
        return fits.encoder(start.config)
    epochs = 0 if data.run_with.deadline.passed else data.config.epochs
    return replace(fits.encoder(_going_on(start.config, epochs), start=start), config=start.config)


def _going_on(config: CollaborativeConfig, epochs: int) -> CollaborativeConfig:
    change = {"epochs": epochs, "min_steps": 1, "learning_rate": config.sequence.learning_rate * LEARNING_RATE}
    return config.changed({"sequence": change})
