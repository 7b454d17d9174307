"""Lists as a folder of shards: the manifest, runs that were stopped, and opt-outs made in between."""

import json
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from contracts.atomic_files import sha256_of_files
from serving.batch_inference import LISTS, recommend
from serving.list_shards import ShardsRefused, ShardWriter, read_manifest, write_one_file
from serving.privacy.opt_out_store import OptOutStore
from serving.releases.publish import load
from tests.serving.tiny import N_USERS

FALLBACK = ["i0", "i39", "i1"]
OPTIONS = {"k": 3, "users_per_shard": 2}


@pytest.fixture
def release(lake):
    return load(lake.releases)


@pytest.fixture
def opt_outs(lake):
    return OptOutStore.of(lake.settings())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lists"


@pytest.fixture
def writer(release, opt_outs, folder):
    return ShardWriter(release, opt_outs, None, folder)


def stamps(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}


def of(folder, user: str) -> list[str]:
    return [row["item_id"] for row in pq.read_table(folder).to_pylist() if row["user_id"] == user]


def test_shards_hold_the_lists_and_the_manifest_describes_them(writer, release, opt_outs, folder):
    writer.write(None, **OPTIONS)
    manifest = json.loads((folder / "_manifest.json").read_text())
    assert (manifest["release"], manifest["as_of"]) == (release.version, "2017-03-01T00:00:00Z")
    assert (manifest["complete"], manifest["users"], manifest["rows"], manifest["k"]) == (True, N_USERS, 15, 3)
    assert manifest["schema"] == {
        "user_id": "string", "item_id": "string", "rank": "int32", "score": "float", "source": "string",
    }  # fmt: skip
    assert [(shard["file"], shard["users"], shard["rows"]) for shard in manifest["shards"]] == [
        ("part-00000.parquet", 2, 6),
        ("part-00001.parquet", 2, 6),
        ("part-00002.parquet", 1, 3),
    ]
    assert all(sha256_of_files(folder / shard["file"]) == shard["sha256"] for shard in manifest["shards"])
    assert pq.read_table(folder).equals(recommend(release, None, 3, opt_outs))


def test_finished_shards_are_verified_and_kept(writer, folder):
    done = writer.write(None, **OPTIONS)
    before = stamps(folder)
    (folder / "part-00001.parquet").write_bytes(b"damaged")
    (folder / "part-00002.parquet").unlink()
    again = writer.write(None, **OPTIONS)
    assert again.shards == done.shards
    assert {name for name, stamp in stamps(folder).items() if stamp == before[name]} == {"part-00000.parquet"}


def test_other_lists_are_refused_unless_they_may_be_replaced(writer, folder):
    writer.write(None, **OPTIONS)
    with pytest.raises(ShardsRefused, match=r"lists: has the lists of k 3, not 4; give another folder, or --replace"):
        writer.write(None, 4, users_per_shard=2)
    with pytest.raises(ShardsRefused, match="has the lists of other users"):
        writer.write([f"user-{row}" for row in (1, 0, 2, 3, 4)], **OPTIONS)
    writer.write(["user-1"], 4, replace=True)
    assert stamps(folder).keys() == {"part-00000.parquet"}
    assert pq.read_table(folder).num_rows == 4


def test_another_release_is_refused(writer, lake, opt_outs, folder):
    first = writer.write(None, **OPTIONS)
    second = lake.publish(seed=1)
    with pytest.raises(ShardsRefused, match=f"release {first.release}, not {second}"):
        ShardWriter(load(lake.releases), opt_outs, None, folder).write(None, **OPTIONS)


def test_a_folder_with_other_content_is_refused_and_left_alone(writer, folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ShardsRefused, match=r"has 'notes.txt' and no _manifest.json; give an empty folder"):
        writer.write(None, **OPTIONS)
    (folder / "_manifest.json").write_text("{}")
    with pytest.raises(ShardsRefused, match=r"manifest.json: Field required; give another folder"):
        writer.write(None, **OPTIONS)
    assert (folder / "notes.txt").read_text() == "mine"


def test_an_opt_out_during_the_run_holds_for_the_shards_that_follow(writer, opt_outs, folder):
    def on_progress(done: int, _: int) -> None:
        if done == 2:
            opt_outs.set("user", "user-3", "personalization")

    writer.write(None, **OPTIONS, on_progress=on_progress)
    assert of(folder, "user-3") == FALLBACK
    assert of(folder, "user-2") != FALLBACK


@pytest.mark.parametrize(
    ("subject", "flag"),
    [(("user", "user-0"), "erasure"), (("item", "i8"), "recommendation"), (("creator", "c3"), "recommendation")],
)
def test_a_run_that_continues_respects_the_opt_outs_made_since(writer, opt_outs, release, folder, subject, flag):
    writer.write(None, **OPTIONS)
    opt_outs.set(*subject, flag)
    writer.write(None, **OPTIONS)
    assert pq.read_table(folder).equals(recommend(release, None, 3, opt_outs))


def test_two_runs_at_once_are_refused(writer, folder):
    refusals = []

    def on_progress(_: int, __: int) -> None:
        with pytest.raises(ShardsRefused, match="another run is writing there") as refusal:
            writer.write(None, **OPTIONS)
        refusals.append(refusal)

    writer.write(None, **OPTIONS, on_progress=on_progress)
    assert len(refusals) == 3


def test_no_users_give_an_empty_folder_or_file(writer, release, opt_outs, folder, tmp_path):
    assert writer.write([], 3).complete
    assert read_manifest(folder).shards == []
    assert write_one_file(release, [], 3, opt_outs, None, tmp_path / "f.parquet") == 0
    assert pq.read_schema(tmp_path / "f.parquet").equals(LISTS)


STOPPED = """
import os, signal, sys
from pathlib import Path
from contracts import Settings
from serving.list_shards import ShardWriter
from serving.privacy.opt_out_store import OptOutStore
from serving.releases.publish import load
settings = Settings(lake=sys.argv[1])
def on_progress(done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
writer = ShardWriter(load(settings.release_root), OptOutStore.of(settings), None, Path(sys.argv[2]))
writer.write(None, 3, users_per_shard=2, on_progress=on_progress)
"""


def test_a_killed_run_continues(writer, lake, release, opt_outs, folder):
    killed = subprocess.run([sys.executable, "-c", STOPPED, lake.folder, folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [shard.file for shard in read_manifest(folder).shards] == ["part-00000.parquet"]
    (folder / ".part-00001.parquet.0af3").write_bytes(b"half of a sha")
    before = stamps(folder)
    assert writer.write(None, **OPTIONS).complete
    assert stamps(folder)["part-00000.parquet"] == before["part-00000.parquet"]
    assert not list(folder.glob(".part*"))
    assert pq.read_table(folder).equals(recommend(release, None, 3, opt_outs))
