"""Nearness to what a user liked, against plain loops over pairs."""

import numpy as np
import pytest

from contracts.csr import table_of
from ranking import similarity
from ranking.history import history_of
from ranking.similarity import likeness, nearest_liked, unit
from tests.ranking.worlds import random_world


@pytest.fixture(params=range(3))
def world(request: pytest.FixtureRequest):
    """Histories of twelve users, and every pair of a user and an item in a random order."""
    users, items = random_world(request.param)
    history = history_of(users, items, np.arange(12, dtype=np.int32))
    owners, rows = (part.ravel() for part in np.meshgrid(np.arange(12), np.arange(60), indexing="ij"))
    order = np.random.default_rng(request.param).permutation(len(owners))
    return items.text_vectors, history, owners[order], rows[order].astype(np.int32)


def test_rows_get_length_one_and_a_zero_row_stays_zero() -> None:
    units = unit(np.array([[3, 4], [0, 0], [0, -2]], np.float32))
    assert units.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, -1]]


def like(world, recent: int = 50, latest: int = 5):
    vectors, history, owners, rows = world
    return likeness(vectors, history, table_of(owners, history.users), rows, recent=recent, latest=latest)


def test_a_profile_is_the_mean_of_the_liked_items_by_strength(world) -> None:
    vectors, history, owners, rows = world
    cosines = like(world).profile
    for user, row, cosine in zip(owners[:200], rows[:200], cosines[:200], strict=True):
        mine = history.owners == user
        profile = (vectors[history.items[mine]] * history.weights[mine, None]).sum(axis=0)
        length = np.linalg.norm(profile)
        assert cosine == pytest.approx(profile @ vectors[row] / length if length else 0, abs=1e-5)


def test_the_nearest_item_is_the_one_of_the_highest_cosine(world) -> None:
    vectors, history, owners, rows = world
    nearest = nearest_liked(vectors, history, owners, rows)
    for user, row, item, near in zip(owners, rows, nearest.items, nearest.similarities, strict=True):
        liked = history.items[history.owners == user]
        if len(liked):
            cosines = vectors[liked] @ vectors[row]
            assert item in liked
            assert near == pytest.approx(cosines.max(), abs=1e-5)
        else:
            assert (item, near) == (-1, 0)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_likeness_looks_back_on_the_last_liked_items(world, count) -> None:
    vectors, history, owners, rows = world
    expected = nearest_liked(vectors, history.recent(count), owners, rows).similarities
    np.testing.assert_allclose(like(world, recent=count).nearest, expected, atol=1e-6)
    np.testing.assert_allclose(like(world, recent=50, latest=count).nearest_latest, expected, atol=1e-6)


def test_likeness_does_not_depend_on_the_size_of_chunks(world, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = like(world)
    monkeypatch.setattr(similarity, "CHUNK_CELLS", 1)
    chunked = like(world)
    np.testing.assert_allclose(whole.nearest, chunked.nearest, atol=1e-6)
    np.testing.assert_allclose(whole.profile, chunked.profile, atol=1e-6)


def test_small_chunks_give_the_same(world, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = nearest_liked(*world)
    monkeypatch.setattr(similarity, "CHUNK_CELLS", 1)
    chunked = nearest_liked(*world)
    assert np.array_equal(whole.items, chunked.items)
    np.testing.assert_allclose(whole.similarities, chunked.similarities, atol=1e-6)


def test_no_pairs_give_no_neighbours(world) -> None:
    vectors, history, *_ = world
    none = np.zeros(0, np.int64)
    assert len(nearest_liked(vectors, history, none, none.astype(np.int32)).items) == 0
    assert len(like((vectors, history, none, none.astype(np.int32))).profile) == 0
