"""Publishing: one pointer, the newest releases kept, rollback, and a kill at any moment."""

import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from contracts.errors import PublishRunning, ReleaseCorrupt, ReleaseMissing
from serving.releases import publish as p
from serving.releases.serialization import write_release
from tests.serving.tiny import contents, publish_tiny


def names(root):
    return sorted(path.name for path in root.iterdir() if path.name != ".lock")


def test_the_same_content_is_the_same_release(root, shop):
    first = publish_tiny(root, shop)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    again = publish_tiny(root, shop, metrics={"seconds": 3})
    assert again == first  # metrics contain durations, which do not make another release
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    assert {path for path in before if path != root and before[path] != after[path]} == set()
    assert publish_tiny(root, shop, seed=1).version != first.version


def test_only_the_owner_and_the_group_may_read_a_release(root, shop):
    before = os.umask(0o077)
    try:
        version = publish_tiny(root, shop).version
    finally:
        os.umask(before)
    (root / version / "items.safetensors").chmod(0o600)  # as safetensors writes it, and older versions left it
    assert publish_tiny(root, shop).version == version
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [root, root / "current", *(root / version).iterdir()]}
    assert modes.pop(root) & 0o050 == 0o050
    assert set(modes.values()) == {0o640}
    assert stat.S_IMODE((root / version).stat().st_mode) == 0o750


def test_only_the_newest_are_kept(root, shop):
    versions = [publish_tiny(root, shop, seed=seed, keep=2).version for seed in range(4)]
    assert names(root) == sorted([*versions[2:], "current"])
    assert [manifest.version for manifest in p.list_releases(root)] == versions[2:]


def test_a_rollback_serves_the_release_before_or_the_named_one(root, shop):
    versions = [publish_tiny(root, shop, seed=seed).version for seed in range(3)]
    assert p.rollback(root).version == versions[1] == p.current(root)
    assert p.rollback(root).version == versions[0]
    with pytest.raises(ReleaseMissing, match=f"no release older than {versions[0]}"):
        p.rollback(root)
    p.rollback(root, versions[2])
    assert p.current(root) == versions[2]
    with pytest.raises(ReleaseMissing, match=r"no release '2016-01-01-x'; there are: 2017-03-01-.*, 2017"):
        p.rollback(root, "2016-01-01-x")


def test_rollback_refuses_a_broken_release(root, shop):
    old, new = (publish_tiny(root, shop, seed=seed).version for seed in range(2))
    (root / old / "ranker.txt").write_text("tree")
    with pytest.raises(ReleaseCorrupt, match=r"ranker.txt: sha256 is .{12}…, the manifest has .{12}…; publish again"):
        p.rollback(root)
    assert p.current(root) == new


def test_without_a_release_the_message_names_the_night(root):
    with pytest.raises(ReleaseMissing, match=r"nothing is published yet; run `tastefeed nightly --lake \S+`"):
        p.load(root)
    assert p.list_releases(root) == []


@pytest.mark.parametrize("version", ["../outside", ".staging-1", "a/b"])
def test_a_version_is_a_name_not_a_path(root, shop, version):
    publish_tiny(root, shop)
    with pytest.raises(ReleaseMissing, match="no release"):
        p.verify(root, version)


def test_what_was_built_wrong_is_never_published(root, shop, tmp_path):
    old = publish_tiny(root, shop).version
    write_release(contents(tmp_path, seed=1), shop / "bad")
    (shop / "bad" / "ranker.txt").unlink()
    with pytest.raises(ReleaseCorrupt, match=r"ranker.txt: is missing"):
        p.publish(shop / "bad", root)
    assert p.current(root) == old
    publish_tiny(root, shop, seed=2)
    assert not list(root.glob(".staging-*"))


def test_a_broken_release_of_the_same_name_is_replaced(root, shop):
    version = publish_tiny(root, shop).version
    (root / version / "ranker.txt").write_text("tree")
    assert publish_tiny(root, shop).version == version
    p.verify(root)


def test_two_publishers_at_once(root, shop):
    publish_tiny(root, shop)
    with FileLock(root / ".lock"), pytest.raises(PublishRunning, match="another process is changing releases"):
        publish_tiny(root, shop, seed=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    shop = tmp_path_factory.mktemp("built")
    for seed in range(3):
        write_release(contents(shop, seed=seed), shop / f"{seed}")
    return [str(shop / f"{seed}") for seed in range(3)]


@pytest.mark.parametrize("kill", range(3))
def test_kill_9_at_any_moment_leaves_a_whole_release(root, shop, built, kill):
    publish_tiny(root, shop)
    command = [sys.executable, "-m", "tests.serving.publish_forever", str(root), *built]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        publisher.stdout.readline()  # it has begun
        time.sleep(random.Random(kill).uniform(0, 0.3))
        publisher.send_signal(signal.SIGKILL)
    for folder in root.glob("[!.]*/"):
        p.verify(root, folder.name)  # whatever has a name is whole
    assert p.load(root).version == p.current(root)
    publish_tiny(root, shop, seed=99)
    assert not [name for name in names(root) if name.startswith(".")]
    assert p.load(root).version == p.current(root)
