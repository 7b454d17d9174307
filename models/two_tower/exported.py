"""A trained two-tower as a folder: encoder, words, text embedder, and a manifest that `load` holds them to.

The folder names items, categories, languages and regions. It names no person: creators are digests, and
`forgotten` gives the files of a folder that has forgotten some of them.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from contracts import __version__
from contracts.atomic_files import replace_folder, sha256_of
from contracts.errors import ReleaseCorrupt
from models.two_tower.collaborative.collaborative_config import CollaborativeConfig
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder, FoldIn, LastState, Sums, of_transformer
from models.two_tower.collaborative.sequence import Transformer
from models.two_tower.encoders import Concatenation, ContentEncoder
from models.two_tower.holdout import Encoder
from models.two_tower.selection import Selection
from models.two_tower.text import TextEmbedder
from models.two_tower.towers import TwoTower
from models.two_tower.trained import TrainedTwoTower
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabularies

FORMAT = 3
HIDES_CREATORS = 2
"""Formats before this one named creators. An older format is not loaded, but still forgets."""
MANIFEST, WEIGHTS, TEXT, WORDS = "manifest.json", "towers.safetensors", "text.safetensors", "words.json"


def export(trained: TrainedTwoTower, path: Path) -> None:
    """Write the folder elsewhere, then rename it into place; a folder that is already there is replaced."""
    files = {
        WEIGHTS: save_arrays(arrays_of(trained.encoder)),
        TEXT: save_arrays({"idf": trained.text.idf, "components": np.ascontiguousarray(trained.text.components)}),
        WORDS: json.dumps(trained.words.as_json(), ensure_ascii=False).encode(),
    }
    manifest = {
        "format": FORMAT,
        "metric": "inner_product",
        "vector_size": trained.vector_size,
        "encoder": description_of(trained.encoder),
        "selection": trained.selection and trained.selection.as_json(),
        "text_size": trained.text.size,
        "config": trained.config.model_dump(mode="json"),
        "text_config": trained.text.config.model_dump(),
        "versions": {"tastefeed": __version__, "torch": torch.__version__},
        "sha256": {name: sha256_of(content) for name, content in files.items()},
    }
    replace_folder(path, files | {MANIFEST: json.dumps(manifest, indent=2).encode()})


def load(path: Path, device: str = "cpu") -> TrainedTwoTower:
    """What `export` wrote, giving the same vectors. Raises `ReleaseCorrupt` for anything else."""
    manifest = _parsed(path / MANIFEST, json.loads)
    if manifest.get("format") != FORMAT:
        raise ReleaseCorrupt(f"{path}: format {manifest.get('format')!r}, this version reads {FORMAT}; train it again")
    for name in (WEIGHTS, TEXT, WORDS):
        _check(path / name, manifest["sha256"][name])
    try:
        config = TwoTowerConfig(**manifest["config"])
        words = Vocabularies.from_json(_parsed(path / WORDS, json.loads))
        text = _text_embedder(manifest, _parsed(path / TEXT, load_arrays))
        arrays = _parsed(path / WEIGHTS, load_arrays)
        encoder = encoder_from(manifest["encoder"], arrays, config, words, text.size, device)
        selection = manifest["selection"] and Selection.from_json(manifest["selection"])
    except (KeyError, TypeError, RuntimeError, ValidationError) as wrong:
        raise ReleaseCorrupt(f"{path}: the manifest does not fit the files ({wrong}); train it again") from wrong
    return TrainedTwoTower(encoder, config, words, text, selection)


def forgotten(path: Path, creators: Collection[str], former_creators: Collection[str] = ()) -> dict[str, bytes]:
    """The files of a folder that change when it forgets these creators, by name; none where it names none of them.

    A folder of format 1 hides its creators from then on, and forgets `former_creators` as well. Words that cannot be
    read could hide a name: they are emptied, and `load` refuses the folder.
    """
    if not creators and _hides_creators(path / MANIFEST):
        return {}  # most nights: nothing is read of words, which name every item
    content = (path / WORDS).read_bytes()
    try:
        words, manifest = json.loads(content), json.loads((path / MANIFEST).read_bytes())
        named = Vocabularies.from_json(words)
    except (OSError, ValueError, KeyError, TypeError):
        return {} if content == b"{}" else {WORDS: b"{}"}
    gone = {*creators, *(() if named.creators.salt else former_creators)}
    cleaned = json.dumps(replace(named, creators=named.creators.without(gone)).as_json(), ensure_ascii=False).encode()
    if cleaned == content:
        return {}
    if manifest.get("sha256", {}).get(WORDS) != sha256_of(content):
        return {WORDS: cleaned}  # it was broken before, and stays refused
    manifest |= {
        "format": max(manifest["format"], HIDES_CREATORS),
        "sha256": manifest["sha256"] | {WORDS: sha256_of(cleaned)},
    }
    return {WORDS: cleaned, MANIFEST: json.dumps(manifest, indent=2).encode()}


def _hides_creators(manifest: Path) -> bool:
    try:
        return bool(json.loads(manifest.read_bytes())["format"] >= HIDES_CREATORS)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _text_embedder(manifest: Mapping[str, Any], arrays: Mapping[str, Any]) -> TextEmbedder:
    config = TwoTowerConfig.model_validate({"text": manifest["text_config"]}).text
    return TextEmbedder(config, manifest["text_size"], arrays["idf"], arrays["components"])


def _check(path: Path, want: str) -> None:
    have = sha256_of(_parsed(path, bytes))
    if have != want:
        raise ReleaseCorrupt(f"{path}: sha256 is {have[:12]}…, the manifest has {want[:12]}…; train it again")


def _parsed(path: Path, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError, SafetensorError) as wrong:
        raise ReleaseCorrupt(f"{path}: cannot be read ({wrong}); train it again") from wrong


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
        arrays = {
            f"{place}.{name}": array
            for place, part in enumerate(encoder.parts)
            for name, array in arrays_of(part).items()
        }
        return arrays | {f"covariance.{place}": matrix for place, matrix in enumerate(encoder.covariances)}
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
        model = TwoTower(config, words, text_size, has_ages=description["age_columns"] > 0)
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
