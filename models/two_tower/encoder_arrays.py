"""An encoder as a description in JSON and named arrays, and the encoder again from both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.two_tower.collaborative.collaborative_config import CollaborativeConfig
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder, FoldIn, LastState, Sums, of_transformer
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.encoders import Concatenation, ContentEncoder
from models.two_tower.holdout import Encoder
from models.two_tower.towers import TwoTower
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabularies

Arrays = Mapping[str, NDArray[Any]]
CONTENT, CONCATENATION, SUMS, FOLD_IN, SEQUENCE = "content", "concatenation", "sums", "fold-in", "sequence"
KINDS: Mapping[type, str] = {Sums: SUMS, FoldIn: FOLD_IN, LastState: SEQUENCE}


def description_of(encoder: Encoder) -> dict[str, Any]:
    """What an encoder is, beside its arrays, as JSON."""
    if isinstance(encoder, ContentEncoder):
        return {"kind": CONTENT, "age_columns": encoder.model.age_columns}
    if isinstance(encoder, Concatenation):
        parts = [description_of(part) for part in encoder.parts]
        return {"kind": CONCATENATION, "weights": list(encoder.weights), "parts": parts}
    if isinstance(encoder, CollaborativeEncoder):
        return {"kind": KINDS[type(encoder.history)], "config": encoder.config.model_dump(mode="json")}
    raise TypeError(f"an encoder of type {type(encoder).__name__} has no description")


def arrays_of(encoder: Encoder) -> dict[str, NDArray[Any]]:
    """Every array of an encoder; those of a part are named after its place."""
    if isinstance(encoder, Concatenation):
        return _arrays_of_parts(encoder)
    if isinstance(encoder, ContentEncoder):
        return _state(encoder.model)
    if isinstance(encoder, CollaborativeEncoder):
        return _arrays_of_ids(encoder)
    raise TypeError(f"an encoder of type {type(encoder).__name__} has no arrays")


def _arrays_of_parts(encoder: Concatenation) -> dict[str, NDArray[Any]]:
    parts = enumerate(map(arrays_of, encoder.parts))
    arrays = {f"{place}.{name}": array for place, part in parts for name, array in part.items()}
    return arrays | {f"covariance.{place}": matrix for place, matrix in enumerate(encoder.covariances)}


def _arrays_of_ids(encoder: CollaborativeEncoder) -> dict[str, NDArray[Any]]:
    if isinstance(encoder.history, LastState):
        return _state(encoder.history.transformer)
    arrays = {"items": np.ascontiguousarray(encoder.items_IV)}
    if isinstance(encoder.history, Sums):
        arrays["inputs"] = np.ascontiguousarray(encoder.history.inputs_ID)
    return arrays


@dataclass(frozen=True)
class EncoderContext:
    """What an encoder of content needs beside its own description."""

    config: TwoTowerConfig
    words: Vocabularies
    text_size: int
    device: str


def encoder_from(description: Mapping[str, Any], arrays: Arrays, context: EncoderContext) -> Encoder:
    """The encoder again. Raises `KeyError`, `RuntimeError` or `ValidationError` where the parts do not fit."""
    return READERS[description["kind"]](description, arrays, context)


def _concatenation(description: Mapping[str, Any], arrays: Arrays, context: EncoderContext) -> Concatenation:
    parts = tuple(encoder_from(part, _part(arrays, place), context) for place, part in enumerate(description["parts"]))
    covariances = tuple(arrays[f"covariance.{place}"] for place in range(len(parts)))
    return Concatenation(parts, tuple(description["weights"]), covariances)


def _content(description: Mapping[str, Any], arrays: Arrays, context: EncoderContext) -> ContentEncoder:
    has_ages = description["age_columns"] > 0
    model = TwoTower(context.config, context.words, context.text_size, has_ages=has_ages)
    model.load_state_dict(_tensors(arrays))
    return ContentEncoder(model.to(context.device).eval())


def _sequence(description: Mapping[str, Any], arrays: Arrays, context: EncoderContext) -> CollaborativeEncoder:
    own, (items, size) = _own_config(description), arrays["items_ID"].shape
    transformer = Transformer(torch.eye(items, size), torch.ones(items), own.sequence)
    transformer.load_state_dict(_tensors(arrays))
    return of_transformer(transformer.to(context.device).eval(), own)


def _fold_in(description: Mapping[str, Any], arrays: Arrays, _context: EncoderContext) -> CollaborativeEncoder:
    own = _own_config(description)
    fold_in = FoldIn(np.ascontiguousarray(arrays["items"][:, :-1]), own.alpha, own.regularization)
    return CollaborativeEncoder(own, arrays["items"], fold_in)


def _sums(description: Mapping[str, Any], arrays: Arrays, _context: EncoderContext) -> CollaborativeEncoder:
    own = _own_config(description)
    return CollaborativeEncoder(own, arrays["items"], Sums(arrays["inputs"], own.half_lives))


READERS: Mapping[str, Callable[[Mapping[str, Any], Arrays, EncoderContext], Encoder]] = {
    CONCATENATION: _concatenation,
    CONTENT: _content,
    SEQUENCE: _sequence,
    FOLD_IN: _fold_in,
    SUMS: _sums,
}


def _own_config(description: Mapping[str, Any]) -> CollaborativeConfig:
    return CollaborativeConfig.model_validate(description["config"])


def _state(module: torch.nn.Module) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(weight.cpu().numpy()) for name, weight in module.state_dict().items()}


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _part(arrays: Arrays, place: int) -> Arrays:
    start = f"{place}."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
