"""What a client shows of an item: equal to the catalogue, also after more items than are kept."""

import numpy as np

from contracts.columns import CREATED_AT
from serving.releases import item_display
from serving.releases.item_display import TEXTS, ItemDisplays
from tests.serving.tiny import catalogue


def test_items_are_those_of_the_catalogue_whatever_is_kept(monkeypatch):
    table, random = catalogue(), np.random.default_rng(0)
    rows = table.select([*TEXTS, CREATED_AT]).to_pylist()
    monkeypatch.setattr(item_display, "MOST_KEPT", 7)
    displays = ItemDisplays(table)
    for _ in range(20):
        wanted = random.integers(0, len(rows), 5).astype(np.int32)
        assert [vars(item) for item in displays.of(wanted)] == [rows[row] for row in wanted]
        assert len(displays._kept) <= 7
    assert displays.of(np.zeros(0, np.int32)) == []


def test_an_item_is_read_once():
    displays = ItemDisplays(catalogue())
    (first,), (again,) = displays.of(np.array([3])), displays.of(np.array([3]))
    assert first is again
