"""An encoder as named arrays and a description, from which it is made again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.two_tower.collaborative.config import CollaborativeConfig
from models.two_tower.collaborative.encoder import CollaborativeEncoder, LastState, Sums, of_transformer
from models.two_tower.collaborative.ials import FoldIn
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.config import TwoTowerConfig
from models.two_tower.encoders import Concatenation, ContentEncoder
from models.two_tower.holdout import Encoder
from models.two_tower.towers import TwoTower
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


def name_of(encoder: Encoder) -> str:
    """`content`, `svd`, `ridge and sequence` and the like."""
    if isinstance(encoder, Concatenation):
        return " and ".join(name_of(part) for part in encoder.parts)
    return encoder.config.encoder if isinstance(encoder, CollaborativeEncoder) else CONTENT


def arrays_of(encoder: Encoder) -> dict[str, NDArray[Any]]:
    """Every array of an encoder; those of a part are named after its place."""
    if isinstance(encoder, Concatenation):
        found = {
            f"{place}.{name}": array
            for place, part in enumerate(encoder.parts)
            for name, array in arrays_of(part).items()
        }
        return found | {f"covariance.{place}": matrix for place, matrix in enumerate(encoder.covariances)}
    if isinstance(encoder, ContentEncoder):
        return _state(encoder.model)
    if isinstance(encoder, CollaborativeEncoder) and isinstance(encoder.history, LastState):
        return _state(encoder.history.transformer)
    if isinstance(encoder, CollaborativeEncoder) and isinstance(encoder.history, Sums):
        return {
            "items": np.ascontiguousarray(encoder.items_IV),
            "inputs": np.ascontiguousarray(encoder.history.inputs_ID),
        }
    if isinstance(encoder, CollaborativeEncoder) and isinstance(encoder.history, FoldIn):
        return {"items": np.ascontiguousarray(encoder.items_IV)}
    raise TypeError(f"an encoder of type {type(encoder).__name__} has no arrays")


def encoder_from(
    description: Mapping[str, Any],
    arrays: Arrays,
    config: TwoTowerConfig,
    words: Vocabularies,
    text_size: int,
    device: str,
) -> Encoder:
    """The encoder again. Raises `KeyError`, `RuntimeError` or `ValidationError` where the parts do not fit."""
    kind = description["kind"]
    if kind == CONCATENATION:
        parts = [
            encoder_from(part, _part(arrays, place), config, words, text_size, device)
            for place, part in enumerate(description["parts"])
        ]
        covariances = tuple(arrays[f"covariance.{place}"] for place in range(len(parts)))
        return Concatenation(tuple(parts), tuple(description["weights"]), covariances)
    if kind == CONTENT:
        model = TwoTower(config, words, text_size, knows_ages=description["age_columns"] > 0)
        model.load_state_dict(_tensors(arrays))
        return ContentEncoder(model.to(device).eval())
    own = CollaborativeConfig.model_validate(description["config"])
    if kind == SEQUENCE:
        items, size = arrays["items_ID"].shape
        transformer = Transformer(torch.eye(items, size), torch.ones(items), own.sequence)
        transformer.load_state_dict(_tensors(arrays))
        return of_transformer(transformer.to(device).eval(), own)
    if kind == FOLD_IN:
        fold_in = FoldIn(np.ascontiguousarray(arrays["items"][:, :-1]), own.alpha, own.regularization)
        return CollaborativeEncoder(own, arrays["items"], fold_in)
    return CollaborativeEncoder(own, arrays["items"], Sums(arrays["inputs"], own.half_lives))


def _state(module: torch.nn.Module) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(weight.cpu().numpy()) for name, weight in module.state_dict().items()}


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _part(arrays: Arrays, place: int) -> Arrays:
    start = f"{place}."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
