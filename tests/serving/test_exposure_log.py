"""The exposure log of a server, read from the lake's files."""

import errno
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting
from contracts.schemas import EXPOSURES
from pipeline.lake import Lake
from pipeline.privacy.exposure_erasure import erase_exposures
from serving import exposure_files
from serving.http.app import create_app
from serving.privacy.pseudonyms import pseudonyms
from tests.serving.conftest import read_values


@pytest.fixture
def logged(lake):
    """A server with the log; the files are complete once it has stopped."""
    return TestClient(create_app(lake.settings(exposure_log=True)), base_url="http://127.0.0.1:8000")


def rows(lake):
    return [
        row
        for path in sorted(lake.folder.glob("exposures/date=*/*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def test_a_page_is_logged_with_the_given_request_id_and_a_pseudonym(logged, lake):
    with logged as client:
        headers = {"X-Request-Id": "mobile-17"}
        feed = client.get("/v1/users/user-1/home-feed?limit=5", headers=headers).json()
        following = client.get(f"/v1/users/user-1/home-feed?limit=5&cursor={feed['cursor']}").json()
    found = rows(lake)
    assert {path.name[0] for path in lake.folder.glob("exposures/*/*")} != {"."}
    assert [(row["item_id"], row["rank"]) for row in found] == [
        (item["item_id"], item["rank"]) for item in feed["items"] + following["items"]
    ]
    assert [row["score"] for row in found[:5]] == pytest.approx([item["score"] for item in feed["items"]])
    assert all(item["source"] == row["sources"][0] for item, row in zip(feed["items"], found[:5], strict=True))
    assert {row["request_id"] for row in found[:5]} == {feed["request_id"]} == {"mobile-17"}
    assert {row["user"] for row in found} == {pseudonyms(lake.settings())("user-1")}
    assert {(row["release"], row["segment"]) for row in found} == {(feed["release"], "light")}
    path = next(lake.folder.glob("exposures/date=*/*.parquet"))
    assert pq.read_schema(path).equals(EXPOSURES)
    assert b"user-1" not in path.read_bytes()


def test_nothing_is_logged_of_users_who_refuse_profiles_even_after_the_page(logged, lake):
    with logged as client:
        client.put("/v1/opt-outs/user/user-2/personalization")
        client.get("/v1/users/user-2/home-feed")
        client.get("/v1/users/user-1/home-feed", headers={"Sec-GPC": "1"})
        client.get("/v1/users/stranger/home-feed")
        client.get("/v1/users/user-3/home-feed")
        client.put("/v1/opt-outs/user/user-3/erasure")  # before the file is written
    assert rows(lake) == []


def test_the_log_is_off_by_default(client, lake):
    client.get("/v1/users/user-1/home-feed")
    assert not (lake.folder / "exposures").exists()


def test_a_full_disk_drops_pages_and_counts_them(logged, lake, monkeypatch):
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(exposure_files, "replace_file", full)
    with logged as client:
        assert client.get("/v1/users/user-1/home-feed").status_code == 200
        client.app.state.exposure_log.close()
        assert read_values(client.get("/metrics").text)['tastefeed_exposures_total{result="dropped"}'] == 1


def test_erasure_removes_a_user_from_the_log(logged, lake):
    with logged as client:
        for user in ("user-1", "user-2"):
            client.get(f"/v1/users/{user}/home-feed?limit=4")
    pseudonym = pseudonyms(lake.settings())
    assert erase_exposures(Lake(lake.folder), ["user-1"], pseudonym) == 4
    assert {row["user"] for row in rows(lake)} == {pseudonym("user-2")}
    assert erase_exposures(Lake(lake.folder), ["user-1"], pseudonym) == 0


def test_a_log_has_one_key(logged, lake, caplog):
    with logged as client:
        client.get("/v1/users/user-1/home-feed?limit=4")
    kept = rows(lake)
    elsewhere = pseudonyms(lake.settings(pseudonym_key="another"))
    with pytest.raises(BadSetting, match=r"exposures was written with another key; set TASTEFEED_PSEUDONYM_KEY to one"):
        erase_exposures(Lake(lake.folder), ["user-1"], elsewhere)
    other = create_app(lake.settings(exposure_log=True, pseudonym_key="another"))
    with TestClient(other, base_url="http://127.0.0.1:8000") as other:
        assert other.get("/v1/users/user-1/home-feed").status_code == 200
        other.app.state.exposure_log.close()
        assert read_values(other.get("/metrics").text)['tastefeed_exposures_total{result="dropped"}'] == 1
    assert rows(lake) == kept
    assert "1 pages are not in the exposure log" in caplog.text
