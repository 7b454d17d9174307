"""A file with any damage is read, or refused with one line that quotes none of it."""

import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.errors import TastefeedError
from pipeline.ingestion.readers import read_table

CSV = 'user_id,item_id,action,timestamp,position\nu1,i1,click,2024-01-01T00:00:00Z,1\n42.0,"7,0", save ,20240101,\n'
JSON_LINES = (
    '{"user_id": 1, "item_id": "a\\ud83d\\ude00", "action": "click", "timestamp": 1704067200}\n'
    '{"user_id": "x", "item_id": "b", "action": "save", "timestamp": "2024-01-01"}\n'
)
ITEMS = 'item_id;categories;embedding\ni1;"[""a"", ""b""]";[0.1, 0.2]\ni2;Café|b;0.1 0.2\n'


def parquet() -> bytes:
    file = io.BytesIO()
    row = {"user_id": [1.0, 2.0, None], "item_id": ["a", "b", None], "action": ["click"] * 3, "timestamp": [10**9] * 3}
    pl.DataFrame(row).write_parquet(file)
    return file.getvalue()


FILES = {
    "events.csv": CSV.encode(),
    "utf16.csv": CSV.encode("utf-16"),
    "events.csv.gz": gzip.compress(CSV.encode(), mtime=0),
    "events.jsonl": JSON_LINES.encode(),
    "items.csv": ITEMS.encode("utf-8-sig"),
    "events.parquet": parquet(),
}
PIECES = st.one_of(
    st.binary(max_size=3),
    st.sampled_from(list(b'\0"\n\r,;\t|[]{}\\\xff')).map(lambda byte: bytes([byte])),
    st.sampled_from(
        [b"sep=;\n", rb"\ud83d", b"1e400", b"NaN", b"null", b"[" * 5000, b"9999-12-31T23:59:59-12:00", b".0"]
    ),
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES), min_size=1, max_size=6)


def damaged(content: bytes, damage: list[tuple[float, int, bytes]]) -> bytes:
    for place, removed, piece in damage:
        at = int(place * len(content))
        content = content[:at] + piece + content[at + removed :]
    return content


@pytest.mark.parametrize("name", FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=DAMAGE)
@example(damage=[(0.5, 10**9, b"")])
def test_any_damage_is_reported_in_lines(tmp_path: Path, name: str, damage: list[tuple[float, int, bytes]]) -> None:
    path = tmp_path / name
    path.write_bytes(damaged(FILES[name], damage))
    assert not any("\n" in line for line in outcome(path, "items" if name.startswith("items") else "events"))


def test_each_damaged_byte_of_a_parquet_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, content = tmp_path / "events.parquet", FILES["events.parquet"]
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        assert not any("\n" in line for line in outcome(path, "events"))
    assert capfd.readouterr().err == ""  # a reader that panics prints a trace of its own


def outcome(path: Path, table: str) -> list[str]:
    """What a person is shown of a file: its warnings and notes, or why it is refused."""
    try:
        read = read_table(path, table)
    except TastefeedError as refusal:
        return [str(refusal)]
    return [*read.warnings, *read.notes]
