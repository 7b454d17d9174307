"""Traces of one item, beside the feed of the same user."""

from concurrent.futures import ThreadPoolExecutor

import pytest


def trace(client, user, item):
    answer = client.get("/v1/admin/trace", params={"user_id": user, "item_id": item})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_shown_item_has_the_place_of_the_feed_and_a_score_that_adds_up(client):
    items = client.get("/v1/users/user-1/home-feed?limit=50").json()["items"]
    for item in items[:3]:
        found = trace(client, "user-1", item["item_id"])
        assert (found["outcome"], found["rank"], found["filters"]) == ("shown", item["rank"], [])
        assert found["score"] == pytest.approx(item["score"])
        assert found["sources"][0] == item["source"]
        assert found["explanation"] == item["explanation"]
    traces = [trace(client, "user-1", item["item_id"]) for item in items[:8]]
    # what the features add differs between two items as their scores do
    rest = [found["score"] - sum(feature["added"] for feature in found["features"]) for found in traces]
    assert rest == pytest.approx([rest[0]] * 8, abs=1e-4)
    moved = [found for found in traces if found["slate"]["score_rank"] < found["rank"]]
    assert all(found["slate"]["passed_by"] > 0 for found in moved)


def test_a_missing_item_has_the_filter_or_source_that_leaves_it_out(client):
    items = client.get("/v1/users/user-1/home-feed").json()["items"]
    clicked = items[0]["item_id"]
    row = {"user_id": "user-1", "item_id": clicked, "action": "hide", "timestamp": "2017-03-02T00:00:00Z"}
    client.post("/v1/events", json={"events": [row]})
    client.put(f"/v1/opt-outs/item/{items[1]['item_id']}/recommendation")
    assert trace(client, "user-1", clicked)["filters"] == ["recent"]
    assert trace(client, "user-1", items[1]["item_id"])["filters"] == ["opted_out"]
    assert trace(client, "user-1", "i8")["filters"] == ["history"]
    assert trace(client, "user-1", "i41")["outcome"] in {"not_in_release", "no_candidate"}
    assert trace(client, "user-1", "nothing")["outcome"] == "not_in_release"
    seen = {"user_id": "user-1", "item_id": items[3]["item_id"], "action": "impression"}
    client.post(
        "/v1/events", json={"events": [{**seen, "timestamp": f"2017-03-02T{hour}:00:00Z"} for hour in range(10, 22)]}
    )
    assert trace(client, "user-1", items[3]["item_id"])["filters"] == ["fatigue"]
    for source in ("two_tower", "fresh", "popular"):
        client.put(f"/v1/admin/switches/{source}")
    found = trace(client, "user-1", items[2]["item_id"])
    assert (found["outcome"], found["sources_off"]) == ("no_candidate", ["fresh", "popular", "two_tower"])


def test_the_trace_of_an_opted_out_user_has_the_reason_alone(client, monkeypatch):
    client.put("/v1/opt-outs/user/user-1/personalization")
    release = client.app.state.release_loader.get()
    for name in ("vectors", "history_items", "features"):
        monkeypatch.setitem(release.users.__dict__, name, None)  # a read would fail
    found = trace(client, "user-1", "i8")
    assert (found["personalized"], found["reason"], found["outcome"]) == (False, "opted_out", "not_traced")
    assert not any(found[name] for name in ("rank", "filters", "sources", "score", "features", "slate", "explanation"))
    entry = client.get("/v1/admin/audit?limit=1").json()["entries"][0]
    assert (entry["who"], entry["action"]) == ("local", "trace")
    assert "user-1" not in entry["subject"]


def test_the_trace_of_an_unknown_user_is_that_of_the_shared_list(client):
    item = client.get("/v1/users/stranger/home-feed").json()["items"][4]
    found = trace(client, "stranger", item["item_id"])
    assert (found["reason"], found["outcome"], found["rank"]) == ("unknown_user", "shown", 5)
    assert (found["features"], found["slate"]) == ([], None)


def test_feeds_and_traces_do_not_wait_for_each_other(client):
    with ThreadPoolExecutor(1) as pool, client.app.state.home_feed._turn():  # a feed is being ranked
        assert pool.submit(trace, client, "user-1", "i8").result(20)["filters"] == ["history"]
