import polars as pl
import pyarrow as pa
import pytest

from contracts import columns as c
from contracts.schemas import DERIVED, INCOMING, REQUIRED


@pytest.mark.parametrize("table", INCOMING)
def test_required_columns_are_columns(table: str) -> None:
    assert set(REQUIRED[table]) <= set(INCOMING[table].names)


@pytest.mark.parametrize("table", sorted({*DERIVED} - {"events", "quarantine", "sessions"}))
def test_a_derived_table_names_its_cutoff(table: str) -> None:
    assert c.CUT in DERIVED[table].names


@pytest.mark.parametrize("schema", [*INCOMING.values(), *DERIVED.values()])
def test_polars_reads_every_schema_and_instants_are_utc(schema: pa.Schema) -> None:
    assert pl.Schema(schema).names() == schema.names
    assert all(field.type.tz == "UTC" for field in schema if pa.types.is_timestamp(field.type))
