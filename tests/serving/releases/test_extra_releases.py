"""The releases of an experiment and of shadow mode, while one of them cannot be read."""

import time
from threading import Event

from serving.privacy.release_erasure import erase_users
from serving.releases import extra_releases, publish
from serving.releases.extra_releases import ExtraReleases
from tests.serving.releases.test_release_loader import until


def followed(extra: ExtraReleases) -> None:
    """Follow, and wait for the releases that are loaded in the background."""
    extra.follow()
    with extra._loading:
        pass


def test_a_release_that_cannot_be_read_is_tried_again_without_a_restart(lake, monkeypatch, caplog):
    monkeypatch.setattr(extra_releases, "FIRST_RETRY_S", 0.2)
    version = publish.current(lake.releases)
    folder, aside = lake.releases / version, lake.folder / "aside"
    extra = ExtraReleases(lake.releases, [version])
    folder.rename(aside)
    extra.load()
    for _ in range(2):
        assert extra.get(version) is None
        time.sleep(0.3)
        followed(extra)  # again in vain; then it waits for twice as long
        aside.rename(folder)
        followed(extra)
        assert extra.get(version) is None
        time.sleep(0.5)
        followed(extra)
        assert extra.get(version).version == version
        folder.rename(aside)
        followed(extra)
    assert len(caplog.messages) == 3, "a line for each time that it becomes unreadable"


def test_following_waits_for_no_load_and_starts_one_at_a_time(lake, monkeypatch):
    def slow(*arguments):
        loads.append(1)
        go_on.wait(20)
        return publish.load(*arguments)

    loads, go_on = [], Event()
    version = publish.current(lake.releases)
    extra = ExtraReleases(lake.releases, [version])
    extra.load()
    revision = erase_users(lake.releases, ["user-3"])[version]
    monkeypatch.setattr(extra_releases, "load", slow)
    for _ in range(3):
        extra.follow()
    assert until(lambda: loads == [1])
    assert extra.get(version).version == version
    go_on.set()
    assert until(lambda: extra.get(version).version == revision)
    assert loads == [1]
