"""Transition tables in a release: what follows decides the lists of the server and of batch inference alike."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ReleaseCorrupt
from ranking.cooccurrence_features import Transitions, transition_tables
from ranking.feature_arrays import Users, ids_of
from ranking.feature_names import ALL_FEATURE_NAMES
from ranking.rank_users import rank_users
from ranking.reranker import RerankerConfig, train
from ranking.training_pairs import LabelledPairs
from serving.releases.array_files import TRANSITIONS, read_transitions, write_transitions
from serving.releases.loaded_release import Release
from serving.releases.serialization import ReleaseContents, load_release, write_release
from tests.serving.tiny import contents

FIRST, NEXT = 3, 11
"""Users who read item 3 read item 11 next."""


def ranker(folder: Path) -> Path:
    """It scores by what follows the last item, and by nothing else."""
    rows = np.random.default_rng(1).random((400, len(ALL_FEATURE_NAMES)), np.float32)
    place = ALL_FEATURE_NAMES.index("after_last")
    rows[:, place] = np.random.default_rng(2).choice([0, 0.3], 400)
    pairs = LabelledPairs(rows, (rows[:, place] > 0).astype(np.int32), np.repeat(np.arange(20, dtype=np.int32), 20))
    config = RerankerConfig(
        rounds=20, models=1, feature_share=1, pair_share=1, negative_share=1, min_leaf_pairs=10, retrieval_weight=0
    )
    path = folder / "cooccurrence.txt"
    train([pairs], config, ALL_FEATURE_NAMES).reranker.save(path)
    return path


def readers(users: Users, item_count: int) -> Users:
    """Every user read item 3 and then item 11, but for the first, who has read item 3 alone."""
    count = len(users.ids)
    items = np.array([FIRST, *[FIRST, NEXT] * (count - 1)], np.int32)
    offsets = np.concatenate([[0], 1 + 2 * np.arange(count)])
    return Users(
        ids=ids_of(users.ids),
        region=users.region,
        vectors=users.vectors,
        features=users.features,
        history_offsets=offsets,
        history_items=items,
        history_saves=np.zeros(len(items), np.float32),
        history_clicks=np.ones(len(items), np.float32),
        history_hours=np.arange(len(items), dtype=np.float64),
    )


def contents_with_tables(folder: Path) -> ReleaseContents:
    plain = contents(folder)
    users = readers(plain.users, len(plain.items.ids))
    rows = np.arange(len(users.ids), dtype=np.int32)
    tables = transition_tables(users, len(plain.items.ids), rows)
    return replace(plain, users=users, ranker=ranker(folder), transitions=tables)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    write_release(contents_with_tables(tmp_path), tmp_path / "release")
    return load_release(tmp_path / "release")


def test_the_item_that_follows_comes_first(release: Release) -> None:
    ranked = rank_users(release.ranking_snapshot, release.reranker, np.array([0], np.int32), 5)
    assert release.reranker.uses_cooccurrence
    assert ranked.candidates.item_rows[ranked.slates.pairs][0] == NEXT


def test_a_released_table_is_the_night_s(release: Release, tmp_path: Path) -> None:
    want, have = contents_with_tables(tmp_path).transitions, release.ranking_snapshot.transitions
    assert want is not None
    assert have is not None
    for field in fields(Transitions):
        np.testing.assert_array_equal(getattr(have, field.name), getattr(want, field.name))


def test_a_release_without_tables_has_no_such_file(tmp_path: Path) -> None:
    manifest = write_release(contents(tmp_path), tmp_path / "release")
    assert TRANSITIONS not in manifest.files
    assert load_release(tmp_path / "release").ranking_snapshot.transitions is None


def test_a_ranker_that_reads_tables_needs_them(tmp_path: Path) -> None:
    write_release(replace(contents_with_tables(tmp_path), transitions=None), tmp_path / "release")
    with pytest.raises(ReleaseCorrupt, match=r"transitions.safetensors: cannot be read .* publish again"):
        load_release(tmp_path / "release")


@pytest.mark.parametrize(
    ("tower", "items", "message"), [("other", 2, "vectors of tower"), ("own", 3, "2 items, the release has 3")]
)
def test_tables_of_another_build_are_refused(tower: str, items: int, message: str, tmp_path: Path) -> None:
    offsets, empty = np.zeros(3, np.int64), np.zeros(0, np.int32)
    nothing = np.zeros(0, np.float32)
    write_transitions(Transitions(offsets, empty, nothing, offsets, empty, nothing), tmp_path, tower="own")
    with pytest.raises(ReleaseCorrupt, match=message):
        read_transitions(tmp_path, tower=tower, items=items)


def test_a_release_holds_the_exposure_that_its_slates_read(tmp_path: Path) -> None:
    plain = contents(tmp_path)
    shares = np.linspace(0, 1, len(plain.items.ids), dtype=np.float32)
    manifest = write_release(replace(plain, exposure=shares), tmp_path / "with")
    without = write_release(plain, tmp_path / "without")
    assert "exposure.safetensors" in manifest.files
    assert manifest.version != without.version
    np.testing.assert_array_equal(load_release(tmp_path / "with").ranking_snapshot.exposure, shares)
    assert load_release(tmp_path / "without").ranking_snapshot.exposure is None, "a release from before"


def test_exposure_of_other_items_is_refused(tmp_path: Path) -> None:
    write_release(replace(contents(tmp_path), exposure=np.ones(3, np.float32)), tmp_path / "release")
    with pytest.raises(ReleaseCorrupt, match=r"exposure.safetensors: 3 items, the release has .* publish again"):
        load_release(tmp_path / "release")
