from datetime import UTC, datetime

import numpy as np
import pytest

from contracts.errors import ReleaseCorrupt
from ranking.fatigue import UserImpressions
from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.consent import excluded_items
from serving.privacy.release_erasure import erase_users
from serving.releases import publish as p
from tests.serving.tiny import N_ITEMS, N_USERS, contents, publish_tiny


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "releases"
    for seed in range(2):
        publish_tiny(root, tmp_path / "builds", seed=seed)
    return root


def every_byte(root):
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_nothing_of_a_user_is_left(root, tmp_path):
    before = p.load(root)
    vector = before.users.vectors[2].tobytes()
    features = before.users.features[2].tobytes()
    assert vector in every_byte(root)
    renamed = erase_users(root, ["user-2", "stranger"])
    assert len(renamed) == 2
    everything = every_byte(root)
    assert vector not in everything
    assert features not in everything
    assert b"user-2" not in everything
    for version in renamed.values():
        assert "user-2" not in p.load(root, version).user_row


def test_the_others_keep_all_they_had(root, tmp_path):
    served = p.current(root)
    renamed = erase_users(root, ["user-2"])
    release, want = p.load(root), contents(tmp_path, seed=1).users
    assert release.version == renamed[served] == p.current(root)
    kept = [0, 1, 3, 4]
    assert release.users.ids.tolist() == want.ids[kept].tolist()
    np.testing.assert_array_equal(release.users.vectors, want.vectors[kept])
    assert release.users.history_offsets.tolist() == [0, 2, 4, 6, 8]
    assert release.users.history_items.tolist() == [0, 1, 8, 9, 24, 25, 32, 33]
    assert release.manifest.users == N_USERS - 1
    assert {manifest.version for manifest in p.list_releases(root)} == set(renamed.values())
    assert not list(root.glob(".staging-*"))
    assert not list(root.glob(".trash-*"))


def test_the_impressions_of_others_stay_theirs(tmp_path):
    offsets = np.array([0, 1, 2, 4, 4, 5])
    items, counts = np.array([30, 31, 32, 33, 34], np.int32), np.array([1, 2, 3, 4, 5], np.int32)
    rates = np.full(N_ITEMS, 0.5, np.float32)
    shown = UserImpressions(offsets, items, counts, np.arange(5.0), rates)
    publish_tiny(tmp_path / "releases", tmp_path / "builds", impressions=shown)
    erase_users(tmp_path / "releases", ["user-2"])
    impressions = p.load(tmp_path / "releases").impressions
    assert [impressions.of(row) for row in range(N_USERS - 1)] == [{30: 1}, {31: 2}, {}, {34: 5}]
    assert [impressions.last_hours(row) for row in range(N_USERS - 1)] == [{30: 0}, {31: 1}, {}, {34: 4}]
    assert impressions.click_rates.tolist() == rates.tolist()


def test_a_user_who_is_a_creator_is_no_longer_named(root):
    before = p.load(root).catalogue["creator_id"].to_pylist()
    erase_users(root, ["c3"])
    after = p.load(root).catalogue["creator_id"].to_pylist()
    assert after == [None if creator == "c3" else creator for creator in before]


def test_the_items_of_a_withheld_creator_stay_away_after_the_name_is_gone(root):
    erase_users(root, ["c3", "c4"], ["c3", "c2"])
    release = p.load(root)
    gone = excluded_items(release, ActiveOptOuts(frozenset(), frozenset(), frozenset()), datetime.now(UTC))
    assert release.items.ids[gone].tolist() == [f"i{row}" for row in range(3, N_ITEMS, 5)]


def test_all_users_may_leave(root):
    erase_users(root, [f"user-{row}" for row in range(N_USERS)])
    assert p.load(root).users.vectors.shape == (0, 8)


def test_releases_without_the_user_stay_as_they_are(root):
    before = [manifest.version for manifest in p.list_releases(root)]
    assert erase_users(root, ["stranger"]) == {}
    assert erase_users(root, []) == {}
    assert [manifest.version for manifest in p.list_releases(root)] == before


def test_nothing_is_published_yet(tmp_path):
    assert erase_users(tmp_path / "none", ["user-2"]) == {}


def test_a_broken_old_release_is_removed_a_broken_current_one_is_reported(root):
    old, served = [manifest.version for manifest in p.list_releases(root)]
    (root / old / "users.parquet").write_bytes(b"?")
    erase_users(root, ["user-2"])
    assert not (root / old).exists()
    (root / p.current(root) / "users.parquet").write_bytes(b"?")
    with pytest.raises(ReleaseCorrupt, match=r"users.parquet: sha256 is"):
        erase_users(root, ["user-3"])
    assert not (root / served).exists()


def test_finished_after_a_kill_between_revision_and_removal(root):
    served = p.current(root)
    whole = {path.name: path.read_bytes() for path in (root / served).iterdir()}
    revision = erase_users(root, ["user-2"])[served]
    (root / served).mkdir()
    for name, content in whole.items():
        (root / served / name).write_bytes(content)
    p.point(root, served)
    assert erase_users(root, ["user-2"]) == {served: revision}
    assert p.current(root) == revision
    assert not (root / served).exists()
