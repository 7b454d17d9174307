"""A release that is written and read again is the same, without pickles."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import ReleaseCorrupt
from ranking.feature_arrays import ids_of
from serving.releases import publish as p
from serving.releases.serialization import write_release
from tests.serving.tiny import AS_OF, N_ITEMS, N_USERS, contents, publish_tiny


def test_a_release_comes_back_as_it_went(root, shop, tmp_path):
    manifest = publish_tiny(root, shop)
    want = contents(tmp_path)
    release = p.load(root)
    assert release.version == manifest.version == p.current(root)
    assert manifest.version.startswith("2017-03-01-")
    for table in ("items", "users"):
        for name, array in vars(getattr(want, table)).items():
            np.testing.assert_array_equal(getattr(getattr(release, table), name), array)
    assert release.catalogue["item_id"].to_pylist() == [f"i{row}" for row in range(N_ITEMS)]
    assert "embedding" not in release.catalogue.column_names
    assert release.lookups.popular.tolist() == list(want.popular)
    assert release.lookups.fresh.tolist() == list(range(10))
    assert release.metrics == {"ndcg_at_20": 0.4}
    assert (release.manifest.users, release.manifest.items) == (N_USERS, N_ITEMS)
    assert release.index.search(release.users.vectors[:1], 1).ids.tolist() == [["i0"]]
    assert p.verify(root) == manifest
    assert p.show(root).as_of == AS_OF


def test_the_catalogue_must_hold_every_item(tmp_path, root, shop):
    good = contents(tmp_path)
    with pytest.raises(ReleaseCorrupt, match="the catalogue lacks 37 of the items that have vectors"):
        publish_tiny(root, shop, catalogue=good.catalogue.slice(0, 6))


def test_ids_are_stored_in_parquet_and_nothing_is_pickled(root, shop):
    version = publish_tiny(root, shop).version
    assert pq.read_table(root / version / "users.parquet")["user_id"].to_pylist() == [
        f"user-{r}" for r in range(N_USERS)
    ]
    assert {path.suffix for path in (root / version).iterdir()} == {
        ".safetensors",
        ".parquet",
        ".faiss",
        ".txt",
        ".json",
    }


def with_ids(table, *ids):
    """The first rows under other ids."""
    return replace(table, ids=ids_of([*ids, *table.ids[len(ids) :]]))


def test_ids_are_published_as_long_as_they_are_and_stay_distinct(root, shop, tmp_path):
    shop.mkdir()
    made = contents(shop)
    items, users = with_ids(made.items, "a", "a\0", "é" * 512), with_ids(made.users, "u", "u\0", "😀" * 512)
    shown = made.catalogue.to_pylist()
    for row in shown:
        row["item_id"] = dict(zip(made.items.ids, items.ids, strict=True)).get(row["item_id"], row["item_id"])
    catalogue = pa.Table.from_pylist(shown, schema=made.catalogue.schema)
    write_release(replace(made, items=items, users=users, catalogue=catalogue), tmp_path / "built")
    p.publish(tmp_path / "built", root)
    release = p.load(root)
    assert [release.item_row[item] for item in ("a", "a\0", "é" * 512)] == [0, 1, 2]
    assert [release.user_row[user] for user in ("u", "u\0", "😀" * 512)] == [0, 1, 2]
