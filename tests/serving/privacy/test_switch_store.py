"""Kill switches over HTTP and the command line: two applications over one lake are two workers."""

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cli.command_line import app as command_line
from serving.batch_inference import recommend
from serving.http.app import create_app
from serving.privacy.release_erasure import erase_users
from serving.releases import publish
from tests.serving.conftest import ADMIN, FEED, is_problem

USER = "/v1/users/user-1/home-feed"


@pytest.fixture
def workers(lake):
    settings = lake.settings(feed_keys="f2", admin_keys="a1")
    with TestClient(create_app(settings)) as one, TestClient(create_app(settings)) as other:
        yield one, other


def switch(client, name, **body):
    answer = client.put(f"/v1/admin/switches/{name}", headers=ADMIN, json=body or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def feed(client, path=USER, **headers):
    answer = client.get(path, headers={**FEED, **headers})
    assert answer.status_code == 200, answer.text
    return answer.json()


def sources(page):
    return {item["source"] for item in page["items"]}


def test_personalization_off_for_all_holds_in_another_worker_until_it_is_cleared(workers, lake):
    one, other = workers
    profiled = feed(other)
    assert switch(one, "personalization")["value"] == "off"
    lists = recommend(publish.load(lake.releases), ["user-1", "stranger"], 5, other.app.state.opt_out_service.opt_outs)
    assert lists["item_id"].to_pylist()[:5] == lists["item_id"].to_pylist()[5:]
    page = feed(other)
    assert (page["personalized"], page["reason"]) == (False, "personalization_switched_off")
    assert [item["item_id"] for item in page["items"]] == [
        item["item_id"] for item in feed(other, "/v1/users/stranger/home-feed")["items"]
    ]
    many = other.post("/v1/home-feeds", headers=FEED, json={"user_ids": ["user-1", "user-2"]}).json()["feeds"]
    assert {page["reason"] for page in many} == {"personalization_switched_off"}
    listed = {each["name"]: each["value"] for each in other.get("/v1/admin/switches", headers=ADMIN).json()}
    assert {name for name, value in listed.items() if value} == {"personalization"}
    assert one.delete("/v1/admin/switches/personalization", headers=ADMIN).json()["value"] is None
    assert feed(other)["items"] == profiled["items"]


def test_an_opt_out_and_global_privacy_control_are_reported_before_the_switch(workers):
    one, other = workers
    switch(one, "personalization")
    one.put("/v1/opt-outs/user/user-1/personalization", headers=ADMIN)
    assert feed(other)["reason"] == "opted_out"
    assert feed(other, "/v1/users/user-2/home-feed", **{"Sec-GPC": "1"})["reason"] == "global_privacy_control"


def test_a_source_that_is_off_brings_no_item(workers, lake):
    one, other = workers
    before = sources(feed(other))
    assert "two_tower" in before
    switch(one, "two_tower")
    page = feed(other)
    assert page["personalized"]
    assert sources(page) <= {"fresh", "popular"}
    switch(one, "fresh")
    assert sources(feed(other, "/v1/users/stranger/home-feed")) == {"popular"}
    many = other.post("/v1/home-feeds", headers=FEED, json={"user_ids": ["user-1", "stranger"]}).json()["feeds"]
    assert [item["item_id"] for item in many[0]["items"]] == [item["item_id"] for item in feed(other)["items"]]
    assert sources(many[1]) == {"popular"}
    store = other.app.state.opt_out_service.opt_outs
    lists = recommend(publish.load(lake.releases), ["user-1", "stranger"], 20, store)
    assert set(lists["source"].to_pylist()) == {"popular"}
    switch(one, "popular")
    assert (feed(other)["items"], feed(other, "/v1/users/stranger/home-feed")["items"]) == ([], [])


def test_a_pinned_release_serves_from_the_next_request_on_and_survives_the_next_nights(workers, lake):
    one, other = workers
    old, new = publish.current(lake.releases), lake.publish(seed=1)
    other.app.state.release_loader.load_first()
    assert feed(other)["release"] == new
    switch(one, "pinned_release", value=old)
    assert other.get("/v1/releases/current", headers=FEED).json()["version"] == old
    assert feed(other)["release"] == old
    batch = other.post("/v1/home-feeds", headers=FEED, json={"user_ids": ["user-1"]}).json()
    assert batch["release"] == old
    lake.publish(seed=2, keep=1, kept=(old,))
    assert (lake.releases / old).is_dir()
    one.delete("/v1/admin/switches/pinned_release", headers=ADMIN)
    assert feed(other)["release"] != old


def test_the_next_night_leaves_a_pinned_release_in_memory(workers, lake):
    """Its files are not needed again, and no request waits for them."""
    one, other = workers
    old = publish.current(lake.releases)
    switch(one, "pinned_release", value=old)
    assert feed(one)["release"] == feed(other)["release"] == old
    lake.publish(seed=1)
    (lake.releases / old / "ranker.txt").write_text("tree")
    for worker in workers:  # the shared copy goes as well
        worker.app.state.release_loader.load_first()
        worker.app.state.release_loader.follow()
    assert feed(other)["release"] == old
    assert other.get("/readyz").json()["substitute_for"] is None
    one.delete("/v1/admin/switches/pinned_release", headers=ADMIN)
    assert feed(other)["release"] != old


def test_a_pin_follows_the_revision_that_an_erasure_makes(workers, lake):
    one, other = workers
    old = publish.current(lake.releases)
    lake.publish(seed=1)
    switch(one, "pinned_release", value=old)
    revised = erase_users(lake.releases, ["user-4"], on_revision=one.app.state.switches.follow)
    assert feed(other)["release"] == revised[old] != old
    assert one.get("/v1/admin/switches/pinned_release", headers=ADMIN).json()["set_by"] == "erasure"
    one.app.state.switches.follow("another", "one")
    assert feed(other)["release"] == revised[old]


def test_a_pin_that_cannot_be_loaded_leaves_the_served_release(workers, lake):
    one, other = workers
    old, new = publish.current(lake.releases), lake.publish(seed=1)
    other.app.state.release_loader.load_first()
    switch(one, "pinned_release", value=old)
    publish.discard(lake.releases, old)
    assert feed(other)["release"] == new
    assert other.get("/readyz").json()["substitute_for"] == old


WRONG = [
    ("everything", None, 404, "use one of personalization"),
    ("fresh", {"value": "on"}, 422, "has the value 'off' only"),
    ("pinned_release", None, 422, "needs the version"),
    ("pinned_release", {"value": "2001-01-01-none"}, 422, "no release '2001-01-01-none'"),
    ("pinned_release", {"value": "../x"}, 422, "no release '../x'"),
]


def test_a_wrong_switch_is_refused(keyed):
    for name, body, status, words in WRONG:
        answer = keyed.put(f"/v1/admin/switches/{name}", headers=ADMIN, json=body)
        assert words in is_problem(answer, status)["detail"]


def test_a_store_that_lost_a_switch_is_refused_as_older(workers, lake):
    """Fail closed: a copy from before the switch must not turn personalization on again."""
    one, other = workers
    before = {path: path.read_bytes() for path in lake.folder.glob("opt_outs.db*")}
    switch(one, "fresh")
    for path in lake.folder.glob("opt_outs.db*"):
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    page = feed(other)
    assert page["reason"] == "opt_out_store_unavailable"
    assert sources(page) == {"popular"}  # the last known switches hold


def test_a_restore_sets_the_last_known_switches_again(workers, lake):
    one, other = workers
    switch(one, "personalization")
    for path in lake.folder.glob("opt_outs.db*"):
        path.unlink()
    words = ["opt-out", "restore", "--force", "--lake", str(lake.folder)]
    assert CliRunner().invoke(command_line, words).exit_code == 0
    assert feed(other)["reason"] == "personalization_switched_off"
    entry = other.get("/v1/admin/audit", headers=ADMIN).json()["entries"][0]
    assert (entry["who"], entry["subject"]) == ("opt-out restore", "personalization")


def test_the_audit_names_keys_by_fingerprint_and_subjects_by_pseudonym(workers, lake):
    one, other = workers
    switch(one, "exploration")
    one.put("/v1/opt-outs/user/user-1/personalization", headers=ADMIN)
    other.delete("/v1/opt-outs/user/user-1.0/personalization", headers=ADMIN)
    assert one.put("/v1/opt-outs/user/user-1/nothing", headers=ADMIN).status_code == 404
    page = other.get("/v1/admin/audit?limit=2", headers=ADMIN).json()
    assert [entry["action"] for entry in page["entries"]] == ["opt_out.clear", "opt_out.set"]
    assert {entry["who"] for entry in page["entries"]} == {"key:f55ff16f"}
    assert page["entries"][0]["subject"] != "user:user-1"
    rest = other.get(f"/v1/admin/audit?before={page['before']}", headers=ADMIN).json()
    assert [(entry["action"], entry["subject"], entry["detail"]) for entry in rest["entries"]] == [
        ("switch.set", "exploration", "off")
    ]
    assert is_problem(one.get("/v1/admin/audit", headers=FEED), 403)
    assert is_problem(one.put("/v1/admin/switches/fresh", headers=FEED), 403)


def test_the_command_line_sets_shows_and_audits(workers, lake):
    def run(*arguments):
        done = CliRunner().invoke(command_line, [*arguments, "--lake", str(lake.folder)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "personalization  off since" in run("switches", "set", "personalization")
    assert feed(workers[0])["reason"] == "personalization_switched_off"
    lake.publish(seed=1)
    run("releases", "rollback")
    run("switches", "clear", "personalization")
    assert "personalization  not set" in run("switches", "show")
    actions = [line.split()[4] for line in run("audit").splitlines()]
    assert actions == ["switch.clear", "release.rollback", "switch.set"]
