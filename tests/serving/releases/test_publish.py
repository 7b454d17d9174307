import json
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from contracts.errors import PublishRunning, ReleaseCorrupt, ReleaseMissing
from ranking.feature_arrays import ids_of
from serving.releases import publish as p
from serving.releases.manifest import MANIFEST
from serving.releases.serialization import write_release
from tests.serving.tiny import AS_OF, N_ITEMS, N_USERS, contents, publish_tiny


@pytest.fixture
def root(tmp_path):
    return tmp_path / "releases"


@pytest.fixture
def shop(tmp_path):
    return tmp_path / "builds"


def names(root):
    return sorted(path.name for path in root.iterdir() if path.name != ".lock")


def test_a_release_comes_back_as_it_went(root, shop, tmp_path):
    manifest = publish_tiny(root, shop)
    want = contents(tmp_path)
    release = p.load(root)
    assert release.version == manifest.version == p.current(root)
    assert manifest.version.startswith("2017-03-01-")
    for table in ("items", "users"):
        for name, array in vars(getattr(want, table)).items():
            np.testing.assert_array_equal(getattr(getattr(release, table), name), array)
    assert release.catalogue["item_id"].to_pylist() == [f"i{row}" for row in range(N_ITEMS)]
    assert "embedding" not in release.catalogue.column_names
    assert release.popular.tolist() == list(want.popular)
    assert release.fresh.tolist() == list(range(10))
    assert release.metrics == {"ndcg_at_20": 0.4}
    assert (release.manifest.users, release.manifest.items) == (N_USERS, N_ITEMS)
    assert release.index.search(release.users.vectors[:1], 1).ids.tolist() == [["i0"]]
    assert p.verify(root) == manifest
    assert p.show(root).as_of == AS_OF


def test_lookups(root, shop):
    publish_tiny(root, shop)
    release = p.load(root)
    assert release.user_row["user-2"] == 2
    assert release.creator_rows["c3"].tolist() == [3, 8, 13, 18, 23, 28, 33, 38]
    assert release.languages[:2].tolist() == ["en", "pt"]
    assert np.isinf(release.removed_hours).all()


def test_the_same_content_is_the_same_release(root, shop):
    first = publish_tiny(root, shop)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    again = publish_tiny(root, shop, metrics={"seconds": 3})
    assert again == first  # metrics contain durations, which do not make another release
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    assert {path for path in before if path != root and before[path] != after[path]} == set()
    assert publish_tiny(root, shop, seed=1).version != first.version


def test_versions_sort_by_day(root, shop):
    late = publish_tiny(root, shop)
    early = publish_tiny(root, shop, as_of=AS_OF - timedelta(days=30))
    assert sorted([late.version, early.version]) == [early.version, late.version]


def test_only_the_newest_are_kept(root, shop):
    versions = [publish_tiny(root, shop, seed=seed, keep=2).version for seed in range(4)]
    assert names(root) == sorted([*versions[2:], "current"])
    assert [manifest.version for manifest in p.list_releases(root)] == versions[2:]


def test_rollback(root, shop):
    versions = [publish_tiny(root, shop, seed=seed).version for seed in range(3)]
    assert p.rollback(root).version == versions[1] == p.current(root)
    assert p.rollback(root).version == versions[0]
    with pytest.raises(ReleaseMissing, match=f"no release older than {versions[0]}"):
        p.rollback(root)
    p.rollback(root, versions[2])
    assert p.current(root) == versions[2]
    with pytest.raises(ReleaseMissing, match=r"no release '2016-01-01-x'; there are: 2017-03-01-.*, 2017"):
        p.rollback(root, "2016-01-01-x")


def test_rollback_refuses_a_broken_release(root, shop):
    old, new = (publish_tiny(root, shop, seed=seed).version for seed in range(2))
    (root / old / "ranker.txt").write_text("tree")
    with pytest.raises(ReleaseCorrupt, match=r"ranker.txt: sha256 is .{12}…, the manifest has .{12}…; publish again"):
        p.rollback(root)
    assert p.current(root) == new


def test_nothing_published(root):
    with pytest.raises(ReleaseMissing, match="nothing is published yet; run `tastefeed nightly`"):
        p.load(root)
    assert p.list_releases(root) == []


@pytest.mark.parametrize("version", ["../outside", ".staging-1", "a/b"])
def test_a_version_is_a_name_not_a_path(root, shop, version):
    publish_tiny(root, shop)
    with pytest.raises(ReleaseMissing, match="no release"):
        p.verify(root, version)


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

    def test_a_file_too_many(self, folder):
        (folder / "users.parquet.old").write_text("")
        self.refused(folder, "users.parquet.old: is not in the manifest")

    def test_a_changed_byte(self, folder):
        with (folder / "users.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\xff")
        self.refused(folder, "users.safetensors: sha256 is")

    def test_no_manifest(self, folder):
        (folder / MANIFEST).unlink()
        self.refused(folder, "has no manifest.json")

    def test_half_a_manifest(self, folder):
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:50])
        self.refused(folder, "manifest.json: the document: Invalid JSON")

    def test_another_format(self, folder):
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
        self.refused(folder, "format is 99, this code reads 2")

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


def test_what_was_built_wrong_is_never_published(root, shop, tmp_path):
    old = publish_tiny(root, shop).version
    write_release(contents(tmp_path, seed=1), shop / "bad")
    (shop / "bad" / "ranker.txt").unlink()
    with pytest.raises(ReleaseCorrupt, match=r"ranker.txt: is missing"):
        p.publish(shop / "bad", root)
    assert p.current(root) == old
    publish_tiny(root, shop, seed=2)
    assert not list(root.glob(".staging-*"))


def test_a_broken_release_of_the_same_name_is_replaced(root, shop):
    version = publish_tiny(root, shop).version
    (root / version / "ranker.txt").write_text("tree")
    assert publish_tiny(root, shop).version == version
    p.verify(root)


def test_the_catalogue_must_hold_every_item(tmp_path, root, shop):
    good = contents(tmp_path)
    with pytest.raises(ReleaseCorrupt, match="the catalogue lacks 37 of the items that have vectors"):
        publish_tiny(root, shop, catalogue=good.catalogue.slice(0, 6))


def test_two_publishers_at_once(root, shop):
    publish_tiny(root, shop)
    with FileLock(root / ".lock"), pytest.raises(PublishRunning, match="another process is changing releases"):
        publish_tiny(root, shop, seed=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    shop = tmp_path_factory.mktemp("built")
    for seed in range(3):
        write_release(contents(shop, seed=seed), shop / f"{seed}")
    return [str(shop / f"{seed}") for seed in range(3)]


@pytest.mark.parametrize("kill", range(3))
def test_kill_9_at_any_moment_leaves_a_whole_release(root, shop, built, kill):
    publish_tiny(root, shop)
    command = [sys.executable, "-m", "tests.serving.publish_forever", str(root), *built]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        publisher.stdout.readline()  # it has begun
        time.sleep(random.Random(kill).uniform(0, 0.3))
        publisher.send_signal(signal.SIGKILL)
    for folder in root.glob("[!.]*/"):
        p.verify(root, folder.name)  # whatever has a name is whole
    assert p.load(root).version == p.current(root)
    publish_tiny(root, shop, seed=99)
    assert not [name for name in names(root) if name.startswith(".")]
    assert p.load(root).version == p.current(root)


def test_ids_are_stored_in_parquet_and_nothing_is_pickled(root, shop):
    version = publish_tiny(root, shop).version
    assert pq.read_table(root / version / "users.parquet")["user_id"].to_pylist() == [
        f"user-{r}" for r in range(N_USERS)
    ]
    assert {path.suffix for path in (root / version).iterdir()} == {
        ".safetensors",
        ".parquet",
        ".faiss",
        ".txt",
        ".json",
    }


def with_ids(table, *ids):
    """The first rows under other ids."""
    return replace(table, ids=ids_of([*ids, *table.ids[len(ids) :]]))


def test_ids_are_published_as_long_as_they_are_and_stay_distinct(root, shop, tmp_path):
    shop.mkdir()
    made = contents(shop)
    items, users = with_ids(made.items, "a", "a\0", "é" * 512), with_ids(made.users, "u", "u\0", "😀" * 512)
    shown = made.catalogue.to_pylist()
    for row in shown:
        row["item_id"] = dict(zip(made.items.ids, items.ids, strict=True)).get(row["item_id"], row["item_id"])
    catalogue = pa.Table.from_pylist(shown, schema=made.catalogue.schema)
    write_release(replace(made, items=items, users=users, catalogue=catalogue), tmp_path / "built")
    p.publish(tmp_path / "built", root)
    release = p.load(root)
    assert [release.item_row[item] for item in ("a", "a\0", "é" * 512)] == [0, 1, 2]
    assert [release.user_row[user] for user in ("u", "u\0", "😀" * 512)] == [0, 1, 2]
    assert release.items.ids.nbytes == N_ITEMS * 8


def test_memory_of_a_release_does_not_grow_with_its_longest_texts(root, shop):
    def loaded(**changes):
        tracemalloc.start()
        version = publish_tiny(root, shop, **changes).version
        tracemalloc.clear_traces()
        release = p.load(root, version)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return release, size

    shop.mkdir()
    made = contents(shop)
    texts = made.catalogue.to_pylist()
    longest = "x" * 100_000
    texts[-1] |= {"language": longest, "creator_id": longest}
    _, short = loaded()
    release, long = loaded(catalogue=pa.Table.from_pylist(texts, schema=made.catalogue.schema))
    # the text itself is there a few times; 40 items as wide as it would be 16 MB
    assert long - short < 10 * len(longest)
    assert release.languages[0] == ""
    assert longest in release.creator_rows
