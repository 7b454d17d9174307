"""The exposure log of a server, read from the lake's files."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from fsspec.implementations.memory import MemoryFileSystem

from contracts.atomic_files import replace_file
from contracts.errors import BadSetting
from contracts.schemas import EXPOSURES
from pipeline.lake import Lake
from pipeline.privacy.exposure_erasure import erase_exposures
from serving import exposure_files, exposure_log
from serving.exposure_files import record_key, require_key, write_file
from serving.http.app import create_app
from serving.privacy.pseudonyms import KEY_FILE, Pseudonym, pseudonyms, pseudonyms_of
from tests.serving.conftest import read_values
from tests.serving.releases.test_release_loader import until


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


def test_a_full_disk_drops_pages_and_counts_them(logged, lake, monkeypatch, caplog):
    def full_for_pages(path: Path, content: bytes) -> None:
        if path.suffix == ".parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        replace_file(path, content)

    monkeypatch.setattr(exposure_files, "replace_file", full_for_pages)
    with logged as client:
        assert client.get("/v1/users/user-1/home-feed").status_code == 200
        client.app.state.exposure_log.close()
        assert read_values(client.get("/metrics").text)['tastefeed_exposures_total{result="dropped"}'] == 1
    assert [path.name for path in (lake.folder / "exposures").iterdir() if path.is_file()] == ["key_check"]
    assert "1 pages are not in the exposure log: " in caplog.text
    assert ".parquet: No space left on device" in caplog.text


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


def test_a_log_without_a_recorded_key_takes_that_of_the_lake_only(logged, lake, caplog):
    with logged as client:
        client.get("/v1/users/user-1/home-feed?limit=4")
    recorded, url = lake.folder / "exposures" / "key_check", str(lake.folder)
    recorded.unlink()  # as written by an earlier version
    own, another = pseudonyms(lake.settings()), pseudonyms(lake.settings(pseudonym_key="another"))
    key_file = lake.folder / KEY_FILE
    with pytest.raises(BadSetting, match="of an earlier version, which recorded no key"):
        record_key(url, another, key_file)
    assert erase_exposures(Lake(url), ["user-1"], another) == 0
    assert "its users may not be found" in caplog.text
    assert not recorded.exists()
    caplog.clear()
    assert erase_exposures(Lake(url), ["user-1"], own) == 4
    assert caplog.text == ""
    key_file.rename(lake.folder / "aside")
    with pytest.raises(BadSetting, match="write the key of its servers to"):
        record_key(url, own, key_file)  # the key of a setting proves nothing
    (lake.folder / "aside").rename(key_file)
    record_key(url, own, key_file)
    assert recorded.exists()


def test_a_younger_key_file_is_not_named_as_the_key_of_an_older_log(tmp_path):
    url, key_file = str(tmp_path), tmp_path / KEY_FILE
    write_file(url, "exposures/date=2017-03-01/a.parquet", b"")  # by servers with the setting
    key_file.write_text("made by a command without the setting")
    theirs = pseudonyms_of("that of the setting")
    with pytest.raises(BadSetting, match=rf"in TASTEFEED_PSEUDONYM_KEY, write that key to {key_file}; .* no such sett"):
        record_key(url, theirs, key_file)
    key_file.write_text("that of the setting\n")
    record_key(url, theirs, key_file)
    require_key(url, theirs)


def test_an_older_log_in_a_remote_lake_takes_the_key_of_the_local_file(tmp_path, caplog):
    url, key_file = "memory://of-an-older-log", tmp_path / KEY_FILE
    write_file(url, "exposures/date=2017-03-01/a.parquet", b"")
    key_file.write_text("automatic")
    own = pseudonyms_of("automatic")
    require_key(url, own)
    assert "recorded no key, and this key may not be its own; log a page with its servers" in caplog.text
    caplog.clear()
    record_key(url, own, key_file)
    require_key(url, own)
    assert caplog.text == ""
    with pytest.raises(BadSetting, match="was written with another key"):
        record_key(url, pseudonyms_of("another"), key_file)


def test_a_remote_file_system_needs_no_exclusive_write(tmp_path, monkeypatch):
    def pipe_file(self: MemoryFileSystem, path: str, value: bytes) -> None:
        self.open(path, "wb", data=value)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe_file)
    record_key("memory://without-modes", pseudonyms_of("key"), tmp_path / KEY_FILE)
    require_key("memory://without-modes", pseudonyms_of("key"))


def test_an_unknown_error_of_a_file_system_does_not_end_the_log(logged, lake, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise TypeError("user-1 of a file system")

    with logged as client:
        log = client.app.state.exposure_log
        monkeypatch.setattr(log, "_gather_s", 0)
        monkeypatch.setattr(exposure_log, "write_file", refuse)
        client.get("/v1/users/user-1/home-feed?limit=4")
        assert until(lambda: "1 pages are not in the exposure log: TypeError at " in caplog.text)
        assert "user-1" not in caplog.text
        monkeypatch.undo()
        client.get("/v1/users/user-2/home-feed?limit=4")
    assert {row["user"] for row in rows(lake)} == {pseudonyms(lake.settings())("user-2")}


def test_of_two_keys_one_is_recorded(tmp_path):
    servers = [pseudonyms_of(str(number)) for number in range(4)]
    together = Barrier(len(servers))

    def recorded(lake: str, pseudonym: Pseudonym) -> bool:
        together.wait()
        try:
            record_key(lake, pseudonym, tmp_path / KEY_FILE)
        except BadSetting:
            return False
        return True

    with ThreadPoolExecutor(len(servers)) as threads:
        for number in range(10):
            assert sum(threads.map(recorded, [f"{tmp_path}/{number}"] * len(servers), servers)) == 1
    record_key("memory://of-a-log", servers[0], tmp_path / KEY_FILE)
    with pytest.raises(BadSetting, match="was written with another key"):
        record_key("memory://of-a-log", servers[1], tmp_path / KEY_FILE)


def test_the_group_of_the_lake_may_replace_files_of_the_log(tmp_path):
    if os.geteuid() == 0:
        os.chown(tmp_path, -1, 4321)
    write_file(str(tmp_path), "exposures/date=2017-03-01/a.parquet", b"")
    for folder in (tmp_path / "exposures", tmp_path / "exposures" / "date=2017-03-01"):
        made = folder.stat()
        assert (made.st_mode & 0o2070, made.st_gid) == (0o2070, tmp_path.stat().st_gid)
