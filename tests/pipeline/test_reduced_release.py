"""A first night whose re-ranker is refused serves the two-tower alone, with every opt-out, until all models pass."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from fastapi.testclient import TestClient

from contracts import Settings
from contracts.errors import ChampionAbsent
from pipeline.airflow_tasks import run_task
from pipeline.champion import read_champion
from pipeline.run_context import open_run_context
from serving.http.app import create_app
from serving.privacy.release_erasure import erase_users
from serving.releases import publish
from tests import tiny

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")
DAY = tiny.day().isoformat()
RERANKER_FAILS = ("TASTEFEED_GATES__MUST_BEAT", '["popular_7d", "reranked"]')
"""The final list is no better than the re-ranked one, and the two-tower is better than the popular items."""
USER, OPTED_OUT = tiny.name(1), tiny.name(4)


def run(lake: Path, *stages: str) -> None:
    for stage in stages:
        run_task(stage, str(lake), DAY)


@pytest.fixture(scope="module")
def reduced(crossed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first night up to its release, with the models of the night that all tests share. Copy it to change it."""
    lake = tmp_path_factory.mktemp("reduced") / "lake"
    shutil.copytree(crossed, lake)
    shutil.rmtree(lake / "releases")
    shutil.rmtree(lake / "champion")
    open_run_context(str(lake), tiny.day()).opt_outs.set("user", OPTED_OUT, "personalization")
    with pytest.MonkeyPatch.context() as settings:
        for name, value in (*tiny.FAST.items(), RERANKER_FAILS):
            settings.setenv(name, value)
        run(lake, "gates", "release")
    return lake


@pytest.fixture
def lake(reduced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in tiny.FAST.items():
        monkeypatch.setenv(name, value)
    return Path(shutil.copytree(reduced, tmp_path / "lake"))


@pytest.fixture
def client(reduced: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(lake=str(reduced))), base_url="http://127.0.0.1:8000") as client:
        yield client


def feed(client: TestClient, user: str, **query: object) -> dict:
    answer = client.get(f"/v1/users/{user}/home-feed", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_release_is_the_two_tower_and_marked(reduced: Path, client: TestClient) -> None:
    manifest = publish.verify(reduced / "releases")
    assert (manifest.profiled, manifest.reduced_to, manifest.unmeasured) == (True, "two_tower", False)
    assert "ranker.txt" not in manifest.files
    current = client.get("/v1/releases/current").json()
    assert (current["reduced_to"], current["unmeasured"]) == ("two_tower", False)
    assert "TASTEFEED_GATES__MUST_BEAT (now " in json.dumps(current["metrics"]["reduced"]["controls"])
    night = open_run_context(str(reduced), tiny.day())
    assert night.mlflow.client.get_run(night.mlflow_run).data.tags["reduced_to"] == "two_tower"


def test_a_feed_is_the_list_that_was_measured_as_two_tower(reduced: Path, client: TestClient) -> None:
    page = feed(client, USER, limit=100)
    assert (page["personalized"], page["reason"], page["reduced_to"]) == (True, None, "two_tower")
    release = publish.load(reduced / "releases")
    row = release.user_row[USER]
    near = release.items.vectors @ release.users.vectors[row]
    history = release.users.history_items[slice(*release.users.history_offsets[row : row + 2])]
    near[history] = -np.inf
    best = [str(release.items.ids[item]) for item in np.argsort(-near, kind="stable") if near[item] > -np.inf]
    assert [item["item_id"] for item in page["items"]] == best[: len(page["items"])]
    assert {item["source"] for item in page["items"]} == {"two_tower"}
    assert {item["explanation"]["kind"] for item in page["items"]} == {"similar"}


def test_who_opted_out_before_is_not_in_it_and_who_does_now_is_not_profiled(reduced: Path, client: TestClient) -> None:
    assert OPTED_OUT not in publish.load(reduced / "releases").user_row
    before = feed(client, OPTED_OUT)
    assert (before["personalized"], before["reason"], before["reduced_to"]) == (False, "opted_out", "two_tower")
    other = tiny.name(2)
    top = feed(client, other, limit=1)["items"][0]["item_id"]
    assert client.put(f"/v1/opt-outs/item/{top}/recommendation").status_code == 200
    assert top not in [item["item_id"] for item in feed(client, other, limit=100)["items"]]
    assert client.put(f"/v1/opt-outs/user/{other}/personalization").status_code == 200
    assert feed(client, other)["reason"] == "opted_out"
    assert client.delete(f"/v1/opt-outs/user/{other}/personalization").status_code == 200
    assert client.delete(f"/v1/opt-outs/item/{top}/recommendation").status_code == 200


def test_commands_read_it(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    assert tiny.tastefeed_here("recommend", "--lake", lake, "--k", 3, "--out", out).returncode == 0
    sources = dict(zip(*(pq.read_table(out)[name].to_pylist() for name in ("user_id", "source")), strict=True))
    assert sources[USER] == "two_tower"
    assert sources.get(OPTED_OUT) in (None, "fresh", "popular")
    listed = tiny.tastefeed_here("releases", "list", "--lake", lake).stdout
    assert f"as of {DAY}, {tiny.USERS - 1} users, the two-tower without the re-ranker\n" in listed
    old, new = next(iter(erase_users(lake / "releases", [USER]).items()))
    assert old != new == publish.current(lake / "releases")
    release = publish.load(lake / "releases")
    assert (release.reduced_to, USER in release.user_row) == ("two_tower", False)


def test_a_weaker_night_leaves_it_and_one_that_passes_replaces_it(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = open_run_context(str(lake), tiny.day(-1))
    with pytest.raises(ChampionAbsent, match="has only the two-tower without the re-ranker"):
        read_champion(tomorrow, tomorrow.splits.end)
    served = publish.current(lake / "releases")
    monkeypatch.setenv("TASTEFEED_GATES__MIN_GAIN", "0.9")
    with pytest.raises(
        AirflowFailException, match=rf"MIN_GAIN \(now 0.9\).*release {served} keeps serving: it has the"
    ):
        run(lake, "gates")
    assert publish.current(lake / "releases") == served
    monkeypatch.delenv("TASTEFEED_GATES__MIN_GAIN")
    run(lake, "gates", "release")
    manifest = publish.show(lake / "releases")
    assert (manifest.reduced_to, manifest.version != served) == (None, True)
    for model in ("two_tower", "reranker"):
        champion, challenger = (
            tomorrow.mlflow.client.get_model_version_by_alias(model, alias) for alias in ("champion", "challenger")
        )
        assert champion.version == challenger.version
