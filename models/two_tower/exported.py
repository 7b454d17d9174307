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
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from contracts import __version__
from contracts.atomic_files import replace_folder, sha256_of
from contracts.errors import ReleaseCorrupt
from models.two_tower.encoder_arrays import EncoderContext, arrays_of, description_of, encoder_from
from models.two_tower.selection import Selection
from models.two_tower.text import TextEmbedder
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
        WORDS: _encoded(trained.words),
    }
    manifest = _description(trained) | {"sha256": {name: sha256_of(content) for name, content in files.items()}}
    replace_folder(path, files | {MANIFEST: json.dumps(manifest, indent=2).encode()})


def _description(trained: TrainedTwoTower) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "metric": "inner_product",
        "vector_size": trained.vector_size,
        "encoder": description_of(trained.encoder),
        "selection": trained.selection and trained.selection.as_json(),
        "text_size": trained.text.size,
        "config": trained.config.model_dump(mode="json"),
        "text_config": trained.text.config.model_dump(),
        "versions": {"tastefeed": __version__, "torch": torch.__version__},
    }


def load(path: Path, device: str = "cpu") -> TrainedTwoTower:
    """What `export` wrote, giving the same vectors. Raises `ReleaseCorrupt` for anything else."""
    manifest = _parsed(path / MANIFEST, json.loads)
    if manifest.get("format") != FORMAT:
        raise ReleaseCorrupt(f"{path}: format {manifest.get('format')!r}, this version reads {FORMAT}; train it again")
    for name in (WEIGHTS, TEXT, WORDS):
        _check(path / name, manifest["sha256"][name])
    try:
        return _trained(path, manifest, device)
    except (KeyError, TypeError, RuntimeError, ValidationError) as wrong:
        raise ReleaseCorrupt(f"{path}: the manifest does not fit the files ({wrong}); train it again") from wrong


def _trained(path: Path, manifest: Mapping[str, Any], device: str) -> TrainedTwoTower:
    config = TwoTowerConfig(**manifest["config"])
    words = Vocabularies.from_json(_parsed(path / WORDS, json.loads))
    text = _text_embedder(manifest, _parsed(path / TEXT, load_arrays))
    context = EncoderContext(config, words, text.size, device)
    encoder = encoder_from(manifest["encoder"], _parsed(path / WEIGHTS, load_arrays), context)
    selection = manifest["selection"] and Selection.from_json(manifest["selection"])
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
        words, manifest = Vocabularies.from_json(json.loads(content)), json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return {} if content == b"{}" else {WORDS: b"{}"}
    gone = {*creators, *(() if words.creators.salt else former_creators)}
    cleaned = _encoded(replace(words, creators=words.creators.without(gone)))
    if cleaned == content:
        return {}
    sums = manifest.get("sha256", {})
    if sums.get(WORDS) != sha256_of(content):
        return {WORDS: cleaned}  # it was broken before, and stays refused
    revised = {"format": max(manifest["format"], HIDES_CREATORS), "sha256": sums | {WORDS: sha256_of(cleaned)}}
    return {WORDS: cleaned, MANIFEST: json.dumps(manifest | revised, indent=2).encode()}


def _encoded(words: Vocabularies) -> bytes:
    return json.dumps(words.as_json(), ensure_ascii=False).encode()


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
