"""A page reads as much of a list as it needs, and finds the items of earlier pages again."""

from datetime import UTC, datetime

import numpy as np
import pytest

from serving.cursor import Cursor
from serving.list_pages import page_places, rows_of_last
from serving.releases import publish
from serving.releases.loaded_release import Release
from tests.serving.tiny import N_ITEMS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def release(published) -> Release:
    return publish.load(published)


def a_cursor(release: Release, *, shown: np.ndarray | None = None, offset: int = 0, rank: int = 0) -> Cursor:
    start = Cursor(release=release.version, personalized=False, since=NOW, offset=offset, rank=rank)
    if shown is None:
        return start
    return start.after(release.item_hashes[shown], release=release.version, personalized=False, offset=offset)


@pytest.mark.parametrize("left_out", [0, 3, 20, N_ITEMS - 2, N_ITEMS])
@pytest.mark.parametrize("shown", [0, 4])
@pytest.mark.parametrize("limit", [5, 10 * N_ITEMS])
def test_a_page_has_the_first_places_that_are_left(release, left_out, shown, limit):
    rows, excluded = np.arange(N_ITEMS, dtype=np.int32), np.arange(N_ITEMS) < left_out
    last = rows[:shown]
    places, cursor = page_places(release, rows, excluded, a_cursor(release, shown=last), limit, personalized=False)
    expected = [row for row in range(N_ITEMS) if row >= max(left_out, shown)]
    assert places.tolist() == expected[:limit]
    assert (cursor is not None) == (len(expected) > limit)


def test_a_cursor_that_names_no_items_goes_on_at_its_place(release):
    rows, excluded = np.arange(N_ITEMS, dtype=np.int32), np.arange(N_ITEMS) % 2 == 0
    position = a_cursor(release, offset=11, rank=5)
    places, _ = page_places(release, rows, excluded, position, 3, personalized=False)
    assert not position.complete
    assert places.tolist() == [11, 13, 15]


def test_the_rows_of_the_last_items_are_found_again(release):
    shown = np.array([7, 2, 9, 4], np.int32)
    assert rows_of_last(release, a_cursor(release, shown=shown)).tolist() == [7, 2, 9, 4]
    unknown = a_cursor(release, shown=shown).after(
        np.array([12345], np.uint32), release=release.version, personalized=False, offset=0
    )
    assert rows_of_last(release, unknown).tolist() == [7, 2, 9, 4]
