"""The application while it serves: what it keeps in memory, and for how long."""

import gc
import weakref

from fastapi.testclient import TestClient

from serving.http.app import create_app

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
