"""Arms of users, and what they change in feeds and in the exposure log."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting
from serving.ab_experiment import AbExperiment, read_experiment
from serving.app import create_app
from serving.privacy.pseudonyms import pseudonyms
from serving.releases import publish
from tests.serving.conftest import read_values

EVEN = AbExperiment(name="even", arms=({"name": "a"}, {"name": "b"}))


def write(lake, *arms, name="sizes-2"):
    path = lake.folder / "experiment.json"
    path.write_text(json.dumps({"name": name, "arms": arms}))
    return path


def server(lake, **settings):
    return TestClient(create_app(lake.settings(**settings)), base_url="http://127.0.0.1:8000")


def logged(lake):
    return [row for path in lake.folder.glob("exposures/*/*.parquet") for row in pq.read_table(path).to_pylist()]


def test_assignment_is_stable_follows_the_weights_and_differs_between_experiments():
    weighted = AbExperiment(name="weighted", arms=({"name": "a", "weight": 3}, {"name": "b"}))
    users = [f"user-{number}" for number in range(4000)]
    arms = [weighted.arm_of(user).name for user in users]
    assert arms == [weighted.arm_of(user).name for user in users]
    assert 2900 < Counter(arms)["a"] < 3100  # 3,000 expected, standard deviation 27
    others = [EVEN.arm_of(user).name for user in users]
    both = Counter(zip(arms, others, strict=True))
    assert both["a", "a"] / Counter(arms)["a"] == pytest.approx(0.5, abs=0.04)  # independent of the other experiment
    assert EVEN.arm_of("42").name == EVEN.arm_of("42.0").name


@pytest.mark.parametrize(("content", "words"), [
    ('{"name": "x", "arms": [{"name": "a"}]}', "arms: Tuple should have at least 2 items"),
    ('{"name": "x", "arms": [{"name": "a"}, {"name": "a"}]}', "different names"),
    ('{"name": "x", "arms": [{"name": "a"}, {"name": "b", "slate": {"diversty": 1}}]}', "diversty"),
    ("nothing", "Invalid JSON"),
])  # fmt: skip
def test_a_wrong_file_is_refused_when_the_server_starts(tmp_path, content, words):
    (tmp_path / "experiment.json").write_text(content)
    with pytest.raises(BadSetting, match=f"TASTEFEED_EXPERIMENT: .*{words}"):
        read_experiment(tmp_path / "experiment.json")
    with pytest.raises(BadSetting, match="No such file or directory"):
        read_experiment(tmp_path / "missing.json")


def test_arms_change_sources_and_releases_and_are_logged_for_profiled_users_alone(lake):
    old = publish.current(lake.releases)
    new = lake.publish(seed=1)
    narrow = {"name": "narrow", "candidates": {"neighbours": 0}}
    path = write(lake, {"name": "control"}, narrow, {"name": "old", "release": old})
    experiment = read_experiment(path)
    arm_of = {user: experiment.arm_of(user).name for user in (f"user-{row}" for row in range(5))}
    assert set(arm_of.values()) == {"control", "narrow", "old"}
    opted_out = next(user for user, arm in arm_of.items() if arm == "old")
    with server(lake, experiment=path, exposure_log=True) as client:
        for user, arm in arm_of.items():
            feed = client.get(f"/v1/users/{user}/home-feed").json()
            assert feed["release"] == (old if arm == "old" else new)
            assert ("two_tower" in {item["source"] for item in feed["items"]}) == (arm != "narrow")
            first = client.get(f"/v1/users/{user}/home-feed?limit=3").json()
            following = client.get(f"/v1/users/{user}/home-feed?limit=3&cursor={first['cursor']}").json()
            assert [item["item_id"] for item in first["items"] + following["items"]] == [
                item["item_id"] for item in feed["items"][:6]
            ]
        client.put(f"/v1/opt-outs/user/{opted_out}/personalization")
        refused = client.get(f"/v1/users/{opted_out}/home-feed").json()
        assert (refused["release"], refused["reason"]) == (new, "opted_out")
        client.put("/v1/admin/switches/pinned_release", json={"value": new})
        pinned = {client.get(f"/v1/users/{user}/home-feed").json()["release"] for user in arm_of}
        assert pinned == {new}
    rows = logged(lake)
    names = {pseudonyms(lake.settings())(user): arm for user, arm in arm_of.items() if user != opted_out}
    assert {(row["user"], row["arm"]) for row in rows if row["experiment"]} == set(names.items())
    assert {row["experiment"] for row in rows if row["arm"]} == {"sizes-2"}


def test_shadow_mode_counts_differences_and_serves_none_of_them(lake):
    old = publish.current(lake.releases)
    new = lake.publish(seed=1)
    with server(lake, shadow_release=old) as client:
        for user in ("user-1", "user-2"):
            assert client.get(f"/v1/users/{user}/home-feed?limit=10").json()["release"] == new
        client.get("/v1/users/stranger/home-feed")
        client.get("/v1/users/user-1/home-feed", headers={"Sec-GPC": "1"})
        client.app.state.shadow.close()
        counted = read_values(client.get("/metrics").text)
    assert counted['tastefeed_shadow_feeds_total{result="different"}'] == 2
    assert counted["tastefeed_shadow_overlap_count"] == 2
    assert 0 < counted["tastefeed_shadow_overlap_sum"] < 2


def test_a_missing_shadow_release_is_counted_and_harms_no_request(lake):
    with server(lake, shadow_release="2001-01-01-none") as client:
        assert client.get("/v1/users/user-1/home-feed").json()["personalized"]
        client.app.state.shadow.close()
        assert read_values(client.get("/metrics").text)['tastefeed_shadow_feeds_total{result="failed"}'] == 1
