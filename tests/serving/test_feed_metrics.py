"""What feeds leave in the metrics."""

import numpy as np
import pytest

from contracts.request_stages import STAGE_NAMES
from serving.feed_metrics import diversity
from tests.serving.conftest import read_values


def values(client):
    return read_values(client.get("/metrics").text)


def test_the_distance_of_opposite_and_of_equal_vectors():
    assert diversity(np.array([[2, 0], [-1, 0]], np.float32)) == pytest.approx(2)
    assert diversity(np.array([[2, 0], [1, 0], [3, 0]], np.float32)) == pytest.approx(0)
    assert diversity(np.array([[2, 0], [1, 0], [0, 1]], np.float32)) == pytest.approx(2 / 3)


def test_a_personalized_and_an_opted_out_feed(client):
    client.put("/v1/opt-outs/user/user-2/personalization")
    client.put("/v1/opt-outs/item/i0/recommendation")
    row = {"user_id": "user-1", "item_id": "i3", "action": "click", "timestamp": "2017-03-02T00:00:00Z"}
    client.post("/v1/events", json={"events": [row]})
    before = values(client)
    feed = client.get("/v1/users/user-1/home-feed?limit=10").json()
    after = values(client)
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert {grown[f'tastefeed_stage_seconds_count{{stage="{stage}"}}'] for stage in STAGE_NAMES} == {1}
    assert grown['tastefeed_filtered_items_total{reason="opted_out"}'] == 1
    assert grown['tastefeed_filtered_items_total{reason="history"}'] == 2
    assert grown['tastefeed_filtered_items_total{reason="recent"}'] == 1
    assert 0 < grown['tastefeed_candidates_total{source="two_tower"}'] <= 40
    assert grown["tastefeed_page_diversity_count"] == 1
    creators = len({item["creator_id"] for item in feed["items"]})
    assert grown["tastefeed_page_creators_sum"] == pytest.approx(creators / 10)
    assert grown['tastefeed_store_seconds_count{operation="read",store="opt_outs"}'] >= 1
    assert grown['tastefeed_opt_out_reads_total{result="ok"}'] >= 1
    client.get("/v1/users/user-2/home-feed")
    last = values(client)
    assert last['tastefeed_feeds_total{reason="opted_out"}'] == 1
    for name in ('tastefeed_stage_seconds_count{stage="scores"}', 'tastefeed_filtered_items_total{reason="history"}'):
        assert last[name] == after[name]  # nothing of an opted-out user is read


def test_the_state_of_the_server(client, lake):
    version = client.get("/v1/releases/current").json()["version"]
    row = {"user_id": "user-1", "item_id": "i3", "action": "click", "timestamp": "2017-03-02T00:00:00Z"}
    client.post("/v1/events", json={"events": [row]})
    for name in ("fresh", "popular"):
        client.put(f"/v1/admin/switches/{name}")
    client.get("/v1/users/stranger/home-feed")
    found = values(client)
    assert found[f'tastefeed_release_info{{version="{version}"}}'] == 1
    assert found["tastefeed_pending_events"] == 1
    assert found['tastefeed_switch_set{name="fresh"}'] == 1
    assert found['tastefeed_switch_set{name="two_tower"}'] == 0
    assert found['tastefeed_empty_feeds_total{reason="unknown_user"}'] == 1
    assert found['tastefeed_release_swaps_total{result="served"}'] == 1
    for path in [*lake.folder.glob("pending_events.db*"), *lake.folder.glob("opt_outs.db*")]:
        path.write_bytes(b"garbage" * 1000)
    lost = values(client)
    assert "tastefeed_pending_events" not in lost
    assert lost['tastefeed_switch_set{name="fresh"}'] == 1  # as last known
    assert lost['tastefeed_store_errors_total{operation="read",store="events"}'] == 1
