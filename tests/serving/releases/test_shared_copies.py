"""Copies of releases that processes share: made once, safe from changes of the lake, and gone once they are unused."""

import errno
import logging
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, current_thread

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from contracts.errors import ReleaseCorrupt
from serving.http.app import create_app
from serving.privacy.release_erasure import erase_users
from serving.releases import publish as p
from serving.releases.release_loader import ReloadingRelease
from serving.releases.shared_copies import SharedCopies
from serving.releases.verified_copy import shared_copy
from tests.serving.releases.test_release_loader import until
from tests.serving.tiny import N_ITEMS

DAY_AND_HASH = len("2017-03-01-001ad89118f7")
USES_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from serving.releases.shared_copies import SharedCopies
copy = SharedCopies(Path(sys.argv[1])).take("other-release", 0, lambda copy: (copy / "users").write_text("history"))
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture
def copies(tmp_path) -> SharedCopies:
    return SharedCopies(tmp_path)


def names(copies: SharedCopies) -> list[str]:
    return sorted(path.name for path in copies.folder.iterdir() if path.is_dir())


def test_processes_share_one_copy_until_the_last_one_ends(lake, copies, tmp_path):
    others = SharedCopies(tmp_path)  # locks are those of open files, so this is as in another process
    releases = [p.load(lake.releases, None, each) for each in (copies, others)]
    assert len(names(copies)) == 1
    assert copies.folder.stat().st_mode & 0o777 == 0o700
    copies.close()
    assert len(names(copies)) == 1
    others.close()
    assert not list(copies.folder.iterdir())
    private = p.load(lake.releases)
    for release in releases:  # what is mapped stays readable
        np.testing.assert_array_equal(release.users.vectors, private.users.vectors)
        assert [release.user_row[id_] for id_ in private.users.ids] == list(range(len(private.users.ids)))
        assert release.users.ids[np.array([2, 0])].tolist() == ["user-2", "user-0"]
        assert release.displays.of(np.array([3])) == private.displays.of(np.array([3]))
        found, want = (each.index.search(each.users.vectors, 5) for each in (release, private))
        np.testing.assert_array_equal(found.rows, want.rows)


def is_mapped(array: object) -> bool:
    """Whether an array lies in a file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def test_a_process_has_nothing_for_itself_that_grows_with_users_or_items(lake, copies):
    private = p.load(lake.releases)
    before = pa.total_allocated_bytes()
    release = p.load(lake.releases, None, copies)
    assert pa.total_allocated_bytes() == before
    for name_of_table in ("lookups", "items", "users"):
        table = getattr(release, name_of_table)
        arrays = {name: array for name, array in vars(table).items() if isinstance(array, np.ndarray)}
        assert not [name for name, array in arrays.items() if not is_mapped(array)]
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, getattr(getattr(private, name_of_table), name))
    known = [*private.items.ids, "i1.0", "unknown", ""]
    assert [release.item_row.get(item) for item in known] == [private.item_row.get(item) for item in known]
    assert {name: rows.tolist() for name, rows in release.creator_rows.items()} == {
        f"c{number}": list(range(number, N_ITEMS, 5)) for number in range(5)
    }


def test_a_file_of_the_lake_may_be_truncated_while_its_copy_is_served(lake, copies):
    release = p.load(lake.releases, None, copies)
    want = p.load(lake.releases).users.vectors
    path = lake.releases / release.version / "users.safetensors"
    with path.open("r+b") as file:
        file.truncate(100)
    np.testing.assert_array_equal(release.users.vectors, want)  # a mapped original would end the process


def test_a_damaged_release_is_refused_and_leaves_no_copy(lake, copies):
    with (lake.releases / p.current(lake.releases) / "users.safetensors").open("ab") as file:
        file.truncate(1 << 36)  # longer than the machine's memory
    with pytest.raises(ReleaseCorrupt, match=r"lake/releases/.*/users.safetensors: has 68,719,476,736 bytes"):
        p.load(lake.releases, None, copies)
    copies.remove_unused()
    assert not list(copies.folder.iterdir())


def test_processes_that_start_together_make_one_copy(copies, tmp_path):
    made = []

    def fill(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.05)
        (folder / "users").write_text("history")

    each_its_own = [SharedCopies(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda own: own.take("release", 0, fill), each_its_own))
    assert [copy.folder.name for copy in taken] == ["release"] * 8
    assert len(made) == 1


def test_the_copy_of_a_killed_process_is_removed_by_the_next(lake, copies, tmp_path):
    command = [sys.executable, "-c", USES_UNTIL_KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "taken\n"
        release = p.load(lake.releases, None, copies)
        assert [name[:5] for name in names(copies)] == [release.version[:5], "other"]
        killed.kill()
    copies.remove_unused()
    assert names(copies) == [release.copy.folder.name]


def test_a_damaged_copy_is_made_again_and_not_used_while_another_process_has_it(lake, copies, tmp_path, caplog):
    first = p.load(lake.releases, None, copies)
    damaged = first.copy.folder / "catalogue.arrow"
    intact = damaged.read_bytes()
    damaged.write_bytes(intact[:-1])
    second = p.load(lake.releases, None, SharedCopies(tmp_path))
    assert second.copy is None
    assert "this process has its own copy of the release: another process uses a damaged copy" in caplog.text
    copies.close()
    damaged.parent.mkdir()  # what a killed process may leave
    third = p.load(lake.releases, None, copies)
    assert third.copy is not None
    assert damaged.read_bytes() == intact


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda folder: folder.mkdir(mode=0o755), "another user can read or write the folder"),
        (lambda folder: folder.symlink_to(folder.parent), "another user can read or write the folder"),
        (lambda folder: folder.write_text(""), "File exists"),
    ],
)
def test_without_a_private_folder_each_process_has_its_own_copy(lake, copies, caplog, prepare, problem):
    prepare(copies.folder)
    with caplog.at_level(logging.WARNING):
        release = p.load(lake.releases, None, copies)
    assert release.copy is None
    assert "user-2" in release.user_row
    assert [record.getMessage() for record in caplog.records] == [
        f"this process has its own copy of the release: {problem} in {copies.folder}"
    ]


def test_without_space_each_process_has_its_own_copy(lake, small_disk, caplog):
    copies = SharedCopies(small_disk)
    with caplog.at_level(logging.WARNING):
        release = p.load(lake.releases, None, copies)
    assert release.copy is None
    assert "MB are free, 17 MB are needed" in caplog.text
    assert not names(copies)


def test_where_the_space_ends_during_a_copy_each_process_has_its_own(lake, copies, monkeypatch, caplog):
    def full(_, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("serving.releases.serialization.write_table", full)
    with caplog.at_level(logging.WARNING):
        assert p.load(lake.releases, None, copies).copy is None
    assert "this process has its own copy of the release: No space left on device in" in caplog.text
    assert not names(copies)


def test_where_copy_and_lookups_fail_the_error_of_the_copy_counts(lake, copies, monkeypatch):
    def full(path, copy):
        if path.suffix == ".parquet":
            return copied(path, copy)
        failed.wait(5)
        raise OSError(errno.ENOSPC, "No space left on device", str(copy))

    def unreadable(*_):
        failed.set()
        raise ValueError

    copied, failed = shutil.copyfile, Event()
    monkeypatch.setattr("serving.releases.manifest.shutil.copyfile", full)
    monkeypatch.setattr("serving.releases.serialization._computed_lookups", unreadable)
    folder = lake.releases / p.current(lake.releases)
    assert shared_copy(folder, copies) is None
    assert not names(copies)


def test_the_end_of_a_process_does_not_wait_for_a_copy(lake, copies, monkeypatch):
    def copyfile(path, copy):
        daemons.append(current_thread().daemon)
        return copied(path, copy)

    copied, daemons = shutil.copyfile, []
    monkeypatch.setattr("serving.releases.manifest.shutil.copyfile", copyfile)
    assert p.load(lake.releases, None, copies).copy
    assert set(daemons) == {True}


def test_a_swap_and_an_erasure_leave_only_the_copy_of_what_serves(lake, copies):
    loader = ReloadingRelease(lake.releases, copies)
    loader.load_first()
    in_progress = loader.get()
    vector = in_progress.users.vectors[2].tobytes()
    erase_users(lake.releases, ["user-2"])
    assert until(lambda: loader.get() is not in_progress)
    assert until(lambda: len(names(copies)) == 1)
    everything = b"".join(path.read_bytes() for path in copies.folder.rglob("*") if path.is_file())
    assert vector not in everything
    assert b"user-2" not in everything
    assert b"user-1" in everything
    assert in_progress.users.vectors[2].tobytes() == vector  # a request that began before ends as it began


def test_an_idle_server_leaves_a_replaced_release_too(lake, tmp_path, monkeypatch):
    monkeypatch.setattr("serving.http.app.POINTER_PERIOD_S", 0.05)
    copies = SharedCopies(tmp_path)
    with TestClient(create_app(lake.settings(shared_folder=tmp_path))):
        assert [name[:DAY_AND_HASH] for name in names(copies)] == [p.current(lake.releases)]
        new = lake.publish(seed=1)
        assert until(lambda: [name[:DAY_AND_HASH] for name in names(copies)] == [new])
    assert not list(copies.folder.iterdir())


@pytest.mark.parametrize("kind", ["pinned", "pinned and current", "shadow"])
def test_an_idle_server_leaves_each_release_that_an_erasure_replaced(lake, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("serving.http.app.POINTER_PERIOD_S", 0.05)
    old, new = p.current(lake.releases), lake.publish(seed=1)
    copies, shadow = SharedCopies(tmp_path), old if kind == "shadow" else ""
    with TestClient(create_app(lake.settings(shared_folder=tmp_path, shadow_release=shadow))) as client:
        if kind != "shadow":
            client.app.state.release_loader.under_pin(old if kind == "pinned" else new)
        assert {name[:DAY_AND_HASH] for name in names(copies)} == {new} | ({old} if "and" not in kind else set())
        revised = erase_users(lake.releases, ["user-1"])
        left = {revised[new], revised[old]} if shadow else {revised[new]}  # shadow mode goes on with the revision
        assert until(lambda: {name[:DAY_AND_HASH] for name in names(copies)} == left)


def test_a_setting_turns_copies_off(lake, tmp_path):
    app = create_app(lake.settings(shared_folder=tmp_path, share_releases=False))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/users/user-1/home-feed").json()["personalized"]
    assert not SharedCopies(tmp_path).folder.exists()
