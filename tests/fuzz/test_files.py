"""Files as they come from elsewhere, and files damaged on the way: each is ingested whole or refused whole."""

import gzip
import random
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.errors import TastefeedError
from pipeline.ingestion import ImportRequest, import_files, ingested_files
from tests.fuzz.examples import many
from tests.strategies import Row, as_csv, rows

NOW = datetime(2025, 1, 1, tzinfo=UTC)
GOOD = Row("ann", "i1", "click", "2024-03-01")
"""Keeps every column readable: of which no value is, is refused as a whole."""
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
DELIMITERS = (",", ";", "\t", "|")
NUMBERS = count()
CASES = Path(__file__).parents[1] / "cases"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


def bring_in(lake: Path, path: Path, table: str) -> dict[str, int] | None:
    """Rows read and ingested; `None` if the file was refused, by an error of ours on one line that leaks no row."""
    named = {"events": [path]} if table == "events" else {table: path}
    try:
        summary = import_files(ImportRequest(**named), lake_root=lake, landed_at=NOW)
    except TastefeedError as error:
        refusal = str(error)
    else:
        return {"read": summary.rows_read[table], "ingested": summary.rows_ingested[table]}
    assert "\n" not in refusal
    assert path.name in refusal
    return None


@many
@given(
    table=st.lists(rows, max_size=20),
    delimiter=st.sampled_from(DELIMITERS),
    encoding=st.sampled_from(ENCODINGS),
    zipped=st.booleans(),
)
def test_no_row_of_a_whole_file_is_lost_or_counted_twice(lake, table, delimiter, encoding, zipped):
    path = lake / f"{next(NUMBERS)}.csv{'.gz' * zipped}"
    content = as_csv([GOOD, *table], delimiter=delimiter, first=10**6 * next(NUMBERS)).encode(encoding)
    path.write_bytes(gzip.compress(content) if zipped else content)
    came = bring_in(lake, path, "events")
    path.unlink()
    assert came == {"read": len(table) + 1, "ingested": len(table) + 1}


def test_every_row_is_ingested_once(lake):
    """After all of them: as many rows as ids."""
    ids = pl.concat([pl.read_parquet(file, columns=["event_id"]) for file in ingested_files(lake, "events")])[
        "event_id"
    ]
    assert ids.null_count() == 0
    assert ids.n_unique() == len(ids)


SEEDS = sorted(path for path in CASES.glob("*.*") if path.suffix in {".csv", ".jsonl"})
SPECIAL = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"[" * 2000,
    b"{",
    b"1e999",
    b"\x1f\x8b",
    b"\xed\xa0\x80",
]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name and content of a file of the cases, or of a parquet table, with some bytes changed."""
    seed = draw(st.sampled_from(SEEDS))
    name, content = seed.name, seed.read_bytes()[:5000]
    randomly = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(0, 6))):
        at = randomly.randrange(len(content) + 1)
        other = randomly.randrange(at, len(content) + 1)
        content = randomly.choice([
            content[:at] + randomly.choice(SPECIAL) + content[at:],
            content[:at] + content[other:],
            content[:other] + content[at:],
            content[:at] + randomly.randbytes(1) + content[at + 1:],
            content[:at] or b"\n",
        ])  # fmt: skip
    return name, content


@many
@given(file=damaged(), table=st.sampled_from(["events", "items", "users"]))
@example(file=("deep.jsonl", b"[" * 100_000), table="items")
def test_a_damaged_file_is_ingested_whole_or_refused_whole(lake, file, table):
    name, content = file
    path = lake / f"{next(NUMBERS)}-{name}"
    path.write_bytes(content)
    came = bring_in(lake / "damaged", path, table)
    path.unlink()
    assert came is None or came["ingested"] in {0, came["read"]}
