import json

import numpy as np
import pytest

from tastefeed.contracts.errors import ReleaseCorrupt
from tastefeed.models.two_tower import export, load


@pytest.fixture
def folder(trained, tmp_path):
    export(trained, tmp_path / "two_tower")
    return tmp_path / "two_tower"


def test_what_is_loaded_gives_the_same_vectors(trained, folder, examples, items, as_of):
    loaded = load(folder)
    np.testing.assert_array_equal(loaded.embed_items(items, as_of), trained.embed_items(items, as_of))
    mine, theirs = (each.embed_users(examples, items, as_of) for each in (loaded, trained))
    np.testing.assert_array_equal(mine, theirs)


def test_the_manifest_explains_itself_and_no_user_is_in_the_folder(folder, examples, trained):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["metric"] == "inner_product"
    assert manifest["vector_size"] == trained.vector_size
    words = json.loads((folder / "words.json").read_text())
    assert not set(examples["user_id"]) & {word for vocabulary in words.values() for word in vocabulary}


def test_an_export_replaces_the_one_before_and_leaves_nothing_beside_it(trained, folder):
    (folder / "stray").write_text("old")
    export(trained, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "text.safetensors",
        "towers.safetensors",
        "words.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["two_tower"]


@pytest.mark.parametrize("name", ["towers.safetensors", "text.safetensors", "words.json"])
def test_a_changed_byte_is_noticed(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ReleaseCorrupt, match=rf"{name}: sha256 is \w{{12}}…, the manifest says \w{{12}}…"):
        load(folder)


def test_missing_or_foreign_files_are_refused(folder, tmp_path):
    with pytest.raises(ReleaseCorrupt, match=r"manifest.json: cannot be read .*; train it again"):
        load(tmp_path / "nowhere")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ReleaseCorrupt, match="format 99, this version reads 2"):
        load(folder)
    manifest["config"]["embedding_size"] = 32
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseCorrupt, match="the manifest does not fit the files"):
        load(folder)
