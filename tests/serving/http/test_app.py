"""The application while it serves: what it keeps in memory, and for how long."""

import errno
import gc
import os
import weakref
from pathlib import Path

from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.releases import publish
from tests.serving.http.test_server import until

FEED = "/v1/users/user-1/home-feed"


def test_no_collection_visits_a_release_and_a_replaced_one_is_freed_without_any(lake):
    app = create_app(lake.settings())
    with TestClient(app, base_url="http://localhost") as client:
        assert gc.get_freeze_count() > 0
        assert client.get(FEED).json()["items"]
        replaced = weakref.ref(app.state.release_loader.get())
        gc.disable()
        try:
            lake.publish(seed=1)
            app.state.release_loader.load_first()
            assert client.get(FEED).json()["items"]  # the masks of opt-outs are those of the new release
            assert replaced() is None
        finally:
            gc.enable()
    assert gc.get_freeze_count() == 0


def test_an_error_of_the_disk_ends_neither_the_following_of_releases_nor_the_shutdown(lake, monkeypatch, caplog):
    def fails(path: Path) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("serving.http.app.POINTER_PERIOD_S", 0.02)
    app = create_app(lake.settings(shadow_release=publish.current(lake.releases)))
    with TestClient(app):
        with monkeypatch.context() as broken:
            broken.setattr(Path, "is_dir", fails)
            assert until(lambda: "Input/output error" in caplog.text)
        new = lake.publish(seed=1)
        assert until(lambda: app.state.release_loader._release.version == new), "also without a request"
    assert gc.get_freeze_count() == 0
