import logging
import threading
import time

import pytest

from contracts.errors import ReleaseMissing
from serving.privacy.release_erasure import erase_users
from serving.releases import publish as p
from serving.releases.release_loader import ReloadingRelease


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
