import logging
import threading
import time

import pytest

from contracts.errors import ReleaseCorrupt, ReleaseMissing
from serving.privacy.release_erasure import erase_users
from serving.releases import publish as p
from serving.releases.manifest import ReducedTo, read_manifest, write_manifest
from serving.releases.release_loader import UNREADABLE_POINTER, ReloadingRelease
from tests.serving.test_faults import BAD_POINTERS


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def loader(lake):
    loader = ReloadingRelease(lake.releases)
    loader.load_first()
    return loader


def test_swaps_to_what_is_published(loader, lake):
    old = loader.get().version
    new = lake.publish(seed=1)
    assert until(lambda: loader.get().version == new)
    p.rollback(lake.releases)
    assert until(lambda: loader.get().version == old)


def test_a_broken_release_is_refused_and_the_old_one_serves(loader, lake, caplog):
    old = loader.get().version
    new = lake.publish(seed=1)
    p.point(lake.releases, old)
    (lake.releases / new / "ranker.txt").write_text("tree")
    with caplog.at_level(logging.ERROR):
        p.point(lake.releases, new)
        assert until(lambda: loader.get() and caplog.records)
    assert loader.get().version == old
    assert "ranker.txt: sha256 is" in caplog.text
    assert f"{old} keeps serving" in caplog.text
    again = lake.publish(seed=2)
    assert until(lambda: loader.get().version == again)


def test_erased_users_leave_the_loaded_release(loader, lake):
    erase_users(lake.releases, ["user-2"])
    assert until(lambda: "user-2" not in loader.get().user_row)


def test_waits_for_the_first_release(tmp_path, lake):
    loader = ReloadingRelease(tmp_path / "empty")
    loader.load_first()
    with pytest.raises(ReleaseMissing, match=r"no release could be read yet; run `tastefeed nightly --lake \S+`"):
        loader.get()
    lake.releases.rename(tmp_path / "empty")

    def there():
        try:
            return loader.get().version
        except ReleaseMissing:
            return None

    assert until(there)


def test_only_one_thread_reads(loader, lake):
    lake.publish(seed=1)
    before = threading.active_count()
    for _ in range(50):
        loader.get()
    assert threading.active_count() <= before + 1


def loaded(root):
    loader = ReloadingRelease(root)
    loader.load_first()
    return loader


@pytest.mark.parametrize("damage", BAD_POINTERS)
def test_a_damaged_pointer_is_named_and_replaced(lake, damage):
    old, pointer = p.current(lake.releases), lake.releases / "current"
    pointer.unlink()
    damage(pointer)
    with pytest.raises(ReleaseCorrupt, match=rf"/current: .*; publish again, or name a release .*there are: {old}$"):
        p.current(lake.releases)
    loader = loaded(lake.releases)
    assert (loader.get().version, loader.substitute_for) == (old, UNREADABLE_POINTER)
    p.rollback(lake.releases, old)
    assert until(lambda: loader.get() and loader.substitute_for is None)
    assert p.current(lake.releases) == old


def test_a_release_that_was_rolled_back_is_no_substitute(lake):
    old, new = p.current(lake.releases), lake.publish(seed=1)
    p.rollback(lake.releases)
    (lake.releases / old / "ranker.txt").write_text("tree")
    loader = loaded(lake.releases)
    with pytest.raises(ReleaseMissing, match="no release could be read"):
        loader.get()
    p.rollback(lake.releases, new)
    assert until(lambda: p.current(lake.releases) == loaded(lake.releases).get().version == new)


def test_a_whole_release_is_the_substitute_before_a_newer_reduced_one(lake):
    whole = p.current(lake.releases)
    lake.publish(seed=1, reduced_to=ReducedTo.TWO_TOWER, ranker=None)
    damaged = lake.publish(seed=2)
    (lake.releases / damaged / "items.parquet").unlink()
    loader = loaded(lake.releases)
    assert (loader.get().version, loader.substitute_for) == (whole, damaged)


@pytest.mark.parametrize(("name", "content"), [
    ("ranking.json", "[" * 100_000),
    ("metrics.json", "[" * 100_000),
    ("metrics.json", " " * (1 << 25)),
    ("popular.parquet", "no table"),
    ("catalogue.parquet", ""),
])  # fmt: skip
def test_files_that_no_night_wrote_are_refused_although_their_manifest_fits(lake, name, content):
    old = p.current(lake.releases)
    folder = lake.releases / lake.publish(seed=1)
    (folder / name).write_text(content)
    version = write_manifest(folder, read_manifest(folder)).version
    folder.rename(lake.releases / version)
    p.point(lake.releases, version)
    with pytest.raises(ReleaseCorrupt, match=r"cannot be read \(\w+\); publish again or roll back"):
        p.load(lake.releases)
    assert loaded(lake.releases).get().version == old


def test_a_process_without_threads_keeps_its_release(loader, lake, monkeypatch):
    old = loader.get().version
    new = lake.publish(seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _refused)
        assert loader.get().version == old
    assert until(lambda: loader.get().version == new)


def _refused(_):
    raise RuntimeError("can't start new thread")
