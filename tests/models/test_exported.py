import hashlib
import json

import numpy as np
import polars as pl
import pytest

from contracts.errors import ReleaseCorrupt
from models.two_tower import export, load
from models.two_tower.exported import forgotten


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
    with pytest.raises(ReleaseCorrupt, match=rf"{name}: sha256 is \w{{12}}…, the manifest has \w{{12}}…"):
        load(folder)


def test_missing_or_foreign_files_are_refused(folder, tmp_path):
    with pytest.raises(ReleaseCorrupt, match=r"manifest.json: cannot be read .*; train it again"):
        load(tmp_path / "nowhere")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ReleaseCorrupt, match="format 99, this version reads 3"):
        load(folder)
    manifest["config"]["embedding_size"] = 32
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseCorrupt, match="the manifest does not fit the files"):
        load(folder)


def write(folder, contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def creators_of(items):
    return sorted(items["creator_id"].drop_nulls().unique())


def of_the_first_format(folder, trained):
    """As earlier versions wrote it: with the names of creators."""
    words = {name: list(vocabulary.words) for name, vocabulary in vars(trained.words).items()}
    (folder / "words.json").write_text(json.dumps(words, ensure_ascii=False))
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256((folder / "words.json").read_bytes()).hexdigest()
    manifest |= {"format": 1, "sha256": manifest["sha256"] | {"words.json": digest}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_no_creator_is_named_in_the_folder(folder, items):
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert creators_of(items)
    assert not [name for name in creators_of(items) if f'"{name}"'.encode() in everything]


def test_a_creator_is_forgotten_and_the_others_keep_their_vectors(trained, folder, items, as_of):
    gone = creators_of(items)[0]
    assert forgotten(folder, ["unknown"]) == {}
    write(folder, forgotten(folder, [gone]))
    assert forgotten(folder, [gone]) == {}
    unnamed = items.with_columns(pl.when(pl.col("creator_id") != gone).then("creator_id").alias("creator_id"))
    want = trained.embed_items(unnamed, as_of)
    np.testing.assert_array_equal(load(folder).embed_items(items, as_of), want)


def test_a_folder_of_the_first_format_is_cleaned_though_it_is_not_loaded(trained, folder, items):
    of_the_first_format(folder, trained)
    gone, *others = creators_of(items)
    write(folder, forgotten(folder, [], [gone]))
    text = (folder / "words.json").read_text()
    assert not [name for name in (gone, *others) if f'"{name}"' in text]
    assert forgotten(folder, [], [gone]) == {}
    with pytest.raises(ReleaseCorrupt, match="format 2, this version reads 3"):
        load(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"items": []}'])
def test_words_that_cannot_be_read_are_emptied_and_stay_refused(folder, content):
    (folder / "words.json").write_bytes(content)
    write(folder, forgotten(folder, ["some-user"]))
    assert (folder / "words.json").read_bytes() == b"{}"
    assert forgotten(folder, ["some-user"]) == {}
    with pytest.raises(ReleaseCorrupt):
        load(folder)


def test_a_broken_folder_is_cleaned_and_stays_refused(trained, folder, items):
    of_the_first_format(folder, trained)
    broken = json.loads((folder / "words.json").read_text())
    broken["items"] = broken["items"][1:]
    (folder / "words.json").write_text(json.dumps(broken))
    write(folder, forgotten(folder, []))
    assert creators_of(items)[0] not in (folder / "words.json").read_text()
    with pytest.raises(ReleaseCorrupt, match="format 1, this version reads 3"):
        load(folder)
