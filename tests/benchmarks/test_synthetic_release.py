"""The synthetic release is one that the server serves: profiled feeds, distinct histories, equal for equal seeds."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.bare_computation import bare_computation, plain_slate, prepared
from benchmarks.synthetic_release import write_synthetic
from benchmarks.synthetic_tables import Size, synthetic_tables
from ranking.reranker import RerankerConfig
from ranking.slate import slates
from serving.index_config import IndexKind
from serving.releases.loaded_release import Release
from serving.releases.serialization import load_release

SIZE = Size(items=1000, users=300)
QUICK = RerankerConfig(models=1, rounds=10)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Release:
    folder = tmp_path_factory.mktemp("synthetic") / "release"
    write_synthetic(SIZE, folder, config=QUICK)
    return load_release(folder)


def test_a_release_has_the_requested_size_and_five_hundred_candidates(release):
    assert (release.manifest.items, release.manifest.users, release.index.kind) == (1000, 300, IndexKind.FLAT)
    users = prepared(release, np.arange(20, dtype=np.int32))
    assert 350 < bare_computation(release, users, 50).candidates < 550  # sources of a small catalogue overlap


def test_equal_seeds_make_equal_releases(release, tmp_path: Path):
    write_synthetic(SIZE, tmp_path / "again", config=QUICK)
    assert load_release(tmp_path / "again").version == release.version


def test_no_user_has_an_item_twice():
    users = synthetic_tables(Size(items=2000, users=500), seed=1).users
    offsets = users.history_offsets
    histories = [users.history_items[offsets[row] : offsets[row + 1]].tolist() for row in range(500)]
    assert all(len(set(items)) == len(items) >= 2 for items in histories)


def test_the_slate_of_the_bare_computation_is_the_slate_of_the_feed(release):
    snapshot = release.ranking_snapshot
    for user in prepared(release, np.arange(30, dtype=np.int32)):
        scores = release.reranker.score(user.features, user.candidates.item_rows)
        chosen = slates(
            snapshot.items, user.candidates, scores, snapshot.config.slate, k=50, exposure=snapshot.exposure
        )
        assert plain_slate(snapshot, user.candidates.item_rows, scores, 50) == chosen.pairs.tolist()
