"""The manifest names a release by its content, and every deviation from it is refused."""

import json
from datetime import timedelta

import pytest

from contracts.errors import ReleaseCorrupt
from serving.releases import publish as p
from serving.releases.manifest import MANIFEST
from tests.serving.tiny import AS_OF, publish_tiny


def test_versions_sort_by_day(root, shop):
    late = publish_tiny(root, shop)
    early = publish_tiny(root, shop, as_of=AS_OF - timedelta(days=30))
    assert sorted([late.version, early.version]) == [early.version, late.version]


def swap_in(folder, source, *file_names):
    """Put another release's files in, with a manifest that vouches for them."""
    manifest = json.loads((folder / MANIFEST).read_text())
    other = json.loads((source / MANIFEST).read_text())
    for name in file_names:
        (folder / name).write_bytes((source / name).read_bytes())
        manifest["files"][name] = other["files"][name]
    (folder / MANIFEST).write_text(json.dumps(manifest))


class TestRefused:
    @pytest.fixture
    def folder(self, root, shop):
        return root / publish_tiny(root, shop).version

    def refused(self, folder, message):
        for ask in (p.verify, p.load):
            with pytest.raises(ReleaseCorrupt, match=message):
                ask(folder.parent)

    def test_a_missing_file(self, folder):
        (folder / "index.faiss").unlink()
        self.refused(folder, "index.faiss: is missing, the manifest lists it; publish again or roll back")

    def test_a_folder_in_place_of_a_file(self, folder):
        (folder / "index.faiss").unlink()
        (folder / "index.faiss").mkdir()
        self.refused(folder, "index.faiss: is no regular file; the manifest lists it")

    def test_a_file_too_many(self, folder):
        (folder / "users.parquet.old").write_text("")
        self.refused(folder, "users.parquet.old: is not in the manifest")

    def test_a_changed_byte(self, folder):
        with (folder / "users.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\xff")
        self.refused(folder, "users.safetensors: sha256 is")

    def test_a_folder_without_manifest(self, folder):
        (folder / MANIFEST).unlink()
        self.refused(folder, "has no manifest.json")

    def test_half_a_manifest(self, folder):
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:50])
        self.refused(folder, "manifest.json: the document: Invalid JSON")

    def test_a_manifest_of_another_format(self, folder):
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
        self.refused(folder, "format is 99, this code reads 3")

    def test_versions_that_differ(self, folder):
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["versions"]["ranker"] = "yesterday's"
        (folder / MANIFEST).write_text(json.dumps(manifest))
        self.refused(folder, "mixes versions: tower 'tower-0', index 'tower-0', ranker \"yesterday's\"")

    def test_a_manifest_that_vouches_for_other_content(self, folder, root, shop):
        other = root / publish_tiny(root, shop, seed=1).version
        swap_in(folder, other, "ranking.json", "users.safetensors")
        p.point(root, folder.name)
        self.refused(folder, "the content is 2017-03-01-.*, the manifest has 2017-03-01-")

    def test_a_folder_under_another_name(self, folder):
        folder.rename(folder.parent / "2017-03-01-other")
        p.point(folder.parent, "2017-03-01-other")
        self.refused(folder, "2017-03-01-other: holds release 2017-03-01-")

    def test_an_index_of_other_vectors(self, folder, root, shop):
        other = root / publish_tiny(root, shop, seed=1).version
        swap_in(folder, other, "index.faiss")  # an index does not name the version, so only its vectors can reveal it
        p.point(root, folder.name)
        with pytest.raises(ReleaseCorrupt, match=r"index.faiss holds other vectors than items.safetensors"):
            p.load(root)
