"""Arms of users, and what they change in feeds and in the exposure log."""

import json
from collections import Counter
from hashlib import sha256

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting
from serving.ab_experiment import AbExperiment, read_experiment
from serving.batch_inference import LISTS, Refusals, recommend, user_groups
from serving.feed_request import FeedRequest
from serving.http.app import create_app
from serving.list_shards import EXPERIMENT, ShardWriter, read_manifest
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.pseudonyms import pseudonyms
from serving.privacy.release_erasure import erase_users
from serving.privacy.switch_store import SwitchStore
from serving.release_choice import RunningExperiment
from serving.releases import publish
from serving.releases.array_files import without_users
from serving.releases.extra_releases import ExtraReleases
from tests.serving.conftest import read_values
from tests.serving.releases.test_extra_releases import followed
from tests.serving.test_shown_items import stored
from tests.serving.tiny import item_table, user_table
from tests.tiny import tastefeed_here

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
    share = int.from_bytes(sha256(b"weighted:user-7").digest()[:8]) / 2**64  # as docs/serving.md describes it
    assert weighted.arm_of("user-7").name == ("a" if share < 3 / 4 else "b")


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
            trace = client.get("/v1/admin/trace", params={"user_id": user, "item_id": feed["items"][0]["item_id"]})
            assert (trace.json()["arm"], trace.json()["rank"]) == (arm, 1)
            first = client.get(f"/v1/users/{user}/home-feed?limit=3").json()
            following = client.get(f"/v1/users/{user}/home-feed?limit=3&cursor={first['cursor']}").json()
            assert [item["item_id"] for item in first["items"] + following["items"]] == [
                item["item_id"] for item in feed["items"][:6]
            ]
        client.put(f"/v1/opt-outs/user/{opted_out}/personalization")
        refused = client.get(f"/v1/users/{opted_out}/home-feed").json()
        assert (refused["release"], refused["reason"]) == (new, "opted_out")
        client.put("/v1/admin/switches/pinned_release", json={"value": new})
        pinned = [client.get(f"/v1/users/{user}/home-feed").json() for user in arm_of]
        assert {feed["release"] for feed in pinned} == {new}
        trace = client.get("/v1/admin/trace", params={"user_id": "user-0", "item_id": feed["items"][0]["item_id"]})
        assert trace.json()["arm"] is None
    rows = logged(lake)
    while_pinned = {feed["request_id"] for feed in pinned}
    assert {(row["experiment"], row["arm"]) for row in rows if row["request_id"] in while_pinned} == {(None, None)}
    names = {pseudonyms(lake.settings())(user): arm for user, arm in arm_of.items() if user != opted_out}
    assert {(row["user"], row["arm"]) for row in rows if row["experiment"]} == set(names.items())
    assert {row["experiment"] for row in rows if row["arm"]} == {"sizes-2"}


@pytest.fixture
def three_arms(lake):
    """The file of an experiment whose arms are the current release, one without neighbours, and an older release."""
    old = publish.current(lake.releases)
    lake.publish(seed=1)
    narrow = {"name": "narrow", "candidates": {"neighbours": 0}}
    return write(lake, {"name": "control"}, narrow, {"name": "old", "release": old})


USERS = [f"user-{row}" for row in range(5)]


def in_bulk(client, **headers):
    body = {"user_ids": [*USERS, "stranger"], "limit": 7}
    return client.post("/v1/home-feeds", json=body, headers=headers).json()


def items_of(feed):
    return [(item["item_id"], item["source"]) for item in feed["items"]]


def test_feeds_of_many_users_have_the_arms_of_single_feeds_and_their_rows_in_the_log(lake, three_arms):
    with server(lake, experiment=three_arms, exposure_log=True) as client:
        together = in_bulk(client)
        for feed in together["feeds"]:
            single = client.get(f"/v1/users/{feed['user_id']}/home-feed?limit=7").json()
            assert (items_of(feed), feed["release"]) == (items_of(single), single["release"])
        current = client.get("/v1/releases/current").json()["version"]
    assert together["release"] == current
    assert len({feed["release"] for feed in together["feeds"]}) == 2
    seen = {True: [], False: []}
    for row in logged(lake):
        kept = {name: value for name, value in row.items() if name not in {"served_at", "request_id", "score"}}
        seen[row["request_id"] == together["request_id"]].append(kept)
    in_order = [sorted(rows, key=lambda row: (row["user"], row["rank"])) for rows in seen.values()]
    assert in_order[0] == in_order[1]
    assert len(in_order[0]) == 35
    assert {row["arm"] for row in in_order[0]} == {"control", "narrow", "old"}


def test_opt_outs_switches_and_pins_hold_for_the_arms_of_many_users(lake, three_arms):
    arm_of = {user: read_experiment(three_arms).arm_of(user).name for user in USERS}
    opted_out = next(user for user, arm in arm_of.items() if arm == "old")
    with server(lake, experiment=three_arms, exposure_log=True) as client:
        current = client.get("/v1/releases/current").json()["version"]
        assert {feed["release"] for feed in in_bulk(client, **{"Sec-GPC": "1"})["feeds"]} == {current}
        client.put(f"/v1/opt-outs/user/{opted_out}/personalization")
        client.put("/v1/opt-outs/item/i20/recommendation")
        client.put("/v1/admin/switches/fresh")
        feeds = {feed["user_id"]: feed for feed in in_bulk(client)["feeds"]}
        assert (feeds[opted_out]["release"], feeds[opted_out]["reason"]) == (current, "opted_out")
        shown = {pair for feed in feeds.values() for pair in items_of(feed)}
        assert {source for _, source in shown} == {"two_tower", "popular"}
        assert "i20" not in {item for item, _ in shown}
        client.put("/v1/admin/switches/pinned_release", json={"value": current})
        pinned = in_bulk(client)
        assert {feed["release"] for feed in pinned["feeds"]} == {current}
        client.put("/v1/admin/switches/personalization")
        assert {feed["personalized"] for feed in in_bulk(client)["feeds"]} == {False}
    rows = logged(lake)
    assert pseudonyms(lake.settings())(opted_out) not in {row["user"] for row in rows}
    assert {row["arm"] for row in rows if row["request_id"] == pinned["request_id"]} == {None}


def test_lists_as_files_have_the_arms_of_feeds_and_name_the_experiment(lake, three_arms, tmp_path):
    arm_of = {user: read_experiment(three_arms).arm_of(user).name for user in USERS}
    with server(lake, experiment=three_arms) as client:
        feeds = {user: items_of(client.get(f"/v1/users/{user}/home-feed").json())[:7] for user in USERS}
    given = ("recommend", "--lake", lake.folder, "--k", 7, "--out")
    for out in ("lists", "f.parquet"):
        written = tastefeed_here(*given, tmp_path / out, TASTEFEED_EXPERIMENT=str(three_arms))
        assert written.returncode == 0, written.stderr
    manifest, lists = read_manifest(tmp_path / "lists"), pq.read_table(tmp_path / "lists")
    assert lists.schema.equals(LISTS)
    assert lists["user_id"].to_pylist() == [user for user in USERS for _ in range(7)]
    pairs = list(zip(lists["item_id"].to_pylist(), lists["source"].to_pylist(), strict=True))
    assert {user: pairs[7 * at : 7 * at + 7] for at, user in enumerate(USERS)} == feeds
    assert manifest.experiment == read_experiment(three_arms)
    assert manifest.shards[0].arms == dict(Counter(arm_of.values()))
    assert pq.read_table(tmp_path / "f.parquet").equals(lists)
    metadata = pq.read_schema(tmp_path / "f.parquet").metadata[EXPERIMENT.encode()]
    assert AbExperiment.model_validate_json(metadata) == manifest.experiment


def test_a_user_that_the_release_of_an_arm_lacks_has_no_arm(lake):
    arm_of = AbExperiment(name="population", arms=({"name": "control"}, {"name": "old"})).arm_of
    newer = {next(user for user in USERS if arm_of(user).name == arm) for arm in ("control", "old")}
    users = user_table(item_table())
    old = lake.publish(users=without_users(users, np.isin(users.ids, sorted(newer))))
    new = lake.publish(seed=1)
    path = write(lake, {"name": "control"}, {"name": "old", "release": old}, name="population")
    with server(lake, experiment=path, exposure_log=True) as client:
        feeds = [client.get(f"/v1/users/{user}/home-feed").json() for user in USERS] + in_bulk(client)["feeds"][:-1]
        for feed in feeds:
            known = feed["user_id"] not in newer
            assert feed["personalized"]
            assert feed["release"] == (old if known and arm_of(feed["user_id"]).name == "old" else new)
        opt_outs = client.app.state.opt_out_service.opt_outs
        running = client.app.state.home_feed._parts.experiment
        groups = user_groups(publish.load(lake.releases), USERS, Refusals.of(opt_outs), running)
    assert [(group.arm, newer & {*group.user_ids}) for group in groups] == [
        (None, newer), ("control", set()), ("old", set())
    ]  # fmt: skip
    of_newer = {pseudonyms(lake.settings())(user) for user in newer}
    assert {row["arm"] for row in logged(lake) if row["user"] in of_newer} == {None}


def test_an_arm_follows_the_revisions_that_erasures_make_of_its_release(lake, three_arms):
    old = read_experiment(three_arms).releases[0]
    arm_of = {user: read_experiment(three_arms).arm_of(user).name for user in USERS}
    user = next(user for user, arm in arm_of.items() if arm == "old")
    first, second = (other for other in USERS if arm_of[other] == "control")

    def answered(client):
        feed = client.get(f"/v1/users/{user}/home-feed").json()
        trace = {"user_id": user, "item_id": feed["items"][0]["item_id"]}
        return feed["release"], client.get("/v1/admin/trace", params=trace).json()["arm"]

    with server(lake, experiment=three_arms) as client:
        assert answered(client) == (old, "old")
        revision = erase_users(lake.releases, [first])[old]
        followed(client.app.state.extra_releases)
        assert answered(client) == (revision, "old")
        revision = erase_users(lake.releases, [second])[revision]
        followed(client.app.state.extra_releases)
        assert answered(client) == (revision, "old")
    with server(lake, experiment=three_arms) as client:  # the file has the first name still
        assert answered(client) == (revision, "old")
        publish.discard(lake.releases, revision)
        followed(client.app.state.extra_releases)
        assert answered(client) == (publish.current(lake.releases), None)


def test_a_continued_run_respects_opt_outs_and_switches_in_every_arm(lake, three_arms, tmp_path):
    experiment = read_experiment(three_arms)
    arms = {user: experiment.arm_of(user).name for user in USERS}
    running = RunningExperiment(experiment, ExtraReleases(lake.releases, experiment.releases))
    running.releases.load()
    release, opt_outs = publish.load(lake.releases), OptOutStore.of(lake.settings())
    writer = ShardWriter(release, opt_outs, None, tmp_path / "lists", running=running)
    before = writer.write(None, 7)
    assert writer.write(None, 7).shards == before.shards
    of_old = next(user for user in USERS if arms[user] == "old")
    shown = pq.read_table(tmp_path / "lists").to_pylist()
    opt_outs.set("item", next(row["item_id"] for row in shown if row["user_id"] == of_old), "recommendation")
    opt_outs.set("user", next(user for user in USERS if arms[user] == "narrow"), "personalization")
    writer.write(None, 7)
    lists = pq.read_table(tmp_path / "lists")
    assert lists.equals(recommend(release, None, 7, opt_outs, running=running))
    assert not lists.equals(recommend(release, None, 7, opt_outs))
    SwitchStore(opt_outs).set("pinned_release", release.version, by="test")
    pinned, plain = (recommend(release, [of_old], 7, opt_outs, running=each) for each in (running, None))
    assert pinned.equals(plain)
    SwitchStore(opt_outs).set("personalization", None, by="test")
    all_off = recommend(release, None, 7, opt_outs, running=running)
    assert set(all_off["source"].to_pylist()) == {"fresh", "popular"}


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


def test_shadow_mode_compares_no_release_with_its_own_revision(lake):
    original = publish.current(lake.releases)
    revision = erase_users(lake.releases, ["user-3"])[original]
    with server(lake, shadow_release=original) as client:
        assert client.get("/v1/users/user-1/home-feed").json()["release"] == revision
        client.app.state.shadow.close()
        counted = read_values(client.get("/metrics").text)
    assert sum(value for name, value in counted.items() if name.startswith("tastefeed_shadow_feeds_total")) == 0


def test_neither_recorded_impressions_of_a_page_nor_its_explored_items_change_the_shadow_of_that_page(lake):
    old = publish.current(lake.releases)
    lake.publish(tower="another")  # the same lists under another version
    with server(lake, shadow_release=old, record_served=True, exploration_slots=3, exploration_users=99) as client:
        state = client.app.state
        served = state.home_feed.served(FeedRequest("user-1", limit=10))
        state.recorder.record(served.feed)
        assert sum(item.propensity is not None for item in served.feed.items) == 3
        assert len(stored(client, 10)) == 10  # before the comparison, as on a busy worker
        state.shadow.record(served)
        state.shadow.close()
        counted = read_values(client.get("/metrics").text)
    assert counted['tastefeed_shadow_feeds_total{result="same"}'] == 1


def test_a_missing_shadow_release_is_counted_and_harms_no_request(lake):
    with server(lake, shadow_release="2001-01-01-none") as client:
        assert client.get("/v1/users/user-1/home-feed").json()["personalized"]
        client.app.state.shadow.close()
        assert read_values(client.get("/metrics").text)['tastefeed_shadow_feeds_total{result="failed"}'] == 1
