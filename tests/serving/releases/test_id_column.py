import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.releases.id_column import IdColumn, RowOfId, id_table

IDS = ["b", "42.0", "7", "7.0", "é", "u\0", "u", "B", "😀", "-3.0"]


def column(tmp_path, ids: list[str]) -> IdColumn:
    pq.write_table(pa.table({"user_id": pa.array(ids, pa.string())}), tmp_path / "ids.parquet", row_group_size=3)
    return IdColumn(id_table(tmp_path / "ids.parquet", "user_id"))


def test_each_id_has_its_row_by_either_spelling(tmp_path):
    rows = RowOfId(column(tmp_path, IDS))
    assert [rows[id_] for id_ in IDS] == list(range(len(IDS)))
    assert (rows["42"], rows["-3"], rows.get("7")) == (1, 9, 2), "an exact id comes before its other spelling"
    assert not [id_ for id_ in ("", "a", "c", "43", "uu", "\U0010ffff", "\ud800") if id_ in rows]
    with pytest.raises(KeyError) as missing:
        rows["someone"]
    assert missing.value.args == ()


def test_it_reads_like_an_array(tmp_path):
    ids = column(tmp_path, IDS)
    assert (len(ids), list(ids), ids.tolist()) == (10, IDS, IDS)
    assert (ids[4], ids[np.int32(0)], ids[-1]) == ("é", "b", "-3.0")
    assert ids[np.array([8, 0, 8])].tolist() == ["😀", "b", "😀"]
    assert ids[2:4].tolist() == ["7", "7.0"]
    np.testing.assert_array_equal(np.asarray(ids), np.array(IDS, object))


def test_without_users_there_is_no_row(tmp_path):
    ids = column(tmp_path, [])
    assert (len(ids), ids.tolist(), RowOfId(ids).get("b")) == (0, [], None)
