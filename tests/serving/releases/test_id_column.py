import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.cursor import item_hashes
from serving.releases.id_column import IdColumn, RowOfId, by_hash, by_order

IDS = ["b", "42.0", "7", "7.0", "é", "u\0", "u", "B", "😀", "-3.0"]


def column(tmp_path, ids: list[str]) -> IdColumn:
    pq.write_table(pa.table({"user_id": pa.array(ids, pa.string())}), tmp_path / "ids.parquet", row_group_size=3)
    return IdColumn(pq.read_table(tmp_path / "ids.parquet")["user_id"])


def ordered(ids: IdColumn) -> RowOfId:
    return RowOfId(ids, by_order(ids, ids.order()))


def hashed(ids: IdColumn, shared: int = 2**32) -> RowOfId:
    """With at most so many hashes."""
    hashes = item_hashes(ids) % np.uint64(shared)
    order = np.argsort(hashes, kind="stable").astype(np.int32)
    return RowOfId(ids, by_hash(ids, hashes[order].astype(np.uint32), order))


@pytest.mark.parametrize("index", [ordered, hashed])
def test_each_id_has_its_row_by_either_spelling(tmp_path, index):
    rows = index(column(tmp_path, IDS))
    assert [rows[id_] for id_ in IDS] == list(range(len(IDS)))
    assert (rows["42"], rows["-3"], rows.get("7")) == (1, 9, 2), "an exact id comes before its other spelling"
    assert not [id_ for id_ in ("", "a", "c", "43", "uu", "\U0010ffff", "\ud800") if id_ in rows]
    with pytest.raises(KeyError) as missing:
        rows["someone"]
    assert missing.value.args == ()


def test_ids_with_one_hash_stay_distinct(tmp_path, monkeypatch):
    ids = column(tmp_path, IDS)
    monkeypatch.setattr("serving.releases.id_column.item_hash", lambda _: 0)
    rows = hashed(ids, shared=1)
    assert [rows[id_] for id_ in IDS] == list(range(len(IDS)))
    assert "a" not in rows


def test_it_reads_like_an_array(tmp_path):
    ids = column(tmp_path, IDS)
    assert (len(ids), list(ids), ids.tolist()) == (10, IDS, IDS)
    assert (ids[4], ids[np.int32(0)], ids[-1]) == ("é", "b", "-3.0")
    assert ids[np.array([8, 0, 8])].tolist() == ["😀", "b", "😀"]
    assert ids[np.array([[8], [0]])].tolist() == [["😀"], ["b"]]
    assert ids[np.array([True, False] * 5)].tolist() == IDS[::2]
    assert ids[2:4].tolist() == ["7", "7.0"]
    assert pa.array(ids, pa.string()).to_pylist() == IDS
    np.testing.assert_array_equal(np.asarray(ids), np.array(IDS, object))


def test_without_users_there_is_no_row(tmp_path):
    ids = column(tmp_path, [])
    assert (len(ids), ids.tolist(), ordered(ids).get("b"), hashed(ids).get("b")) == (0, [], None, None)
