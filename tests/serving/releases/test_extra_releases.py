"""The releases of an experiment and of shadow mode, while one of them cannot be read."""

import time

from serving.releases import extra_releases, publish
from serving.releases.extra_releases import ExtraReleases


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
        extra.follow()  # again in vain; then it waits for twice as long
        aside.rename(folder)
        extra.follow()
        assert extra.get(version) is None
        time.sleep(0.5)
        extra.follow()
        assert extra.get(version).version == version
        folder.rename(aside)
        extra.follow()
    assert len(caplog.messages) == 3, "a line for each time that it becomes unreadable"
