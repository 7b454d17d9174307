import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from contracts.errors import SchemaMismatch
from contracts.schemas import DERIVED, INCOMING
from features import conform, spark_schema

SCHEMA = pa.schema([pa.field("item_id", pa.string()), pa.field("at", pa.timestamp("us", tz="UTC"))])


def test_selects_exactly_the_columns_in_order(spark: SparkSession):
    frame = spark.createDataFrame([], "at timestamp, more int, item_id string")
    assert conform(frame, SCHEMA).columns == ["item_id", "at"]


def test_names_every_difference(spark: SparkSession):
    frame = spark.createDataFrame([], "item_id bigint")
    with pytest.raises(
        SchemaMismatch, match=r"^item_id: want string, have bigint; at: want timestamp, have no such column$"
    ):
        conform(frame, SCHEMA)


def test_a_timestamp_without_timezone_is_refused(spark: SparkSession):
    with pytest.raises(SchemaMismatch, match="at: want timestamp, have timestamp_ntz"):
        conform(spark.createDataFrame([], "item_id string, at timestamp_ntz"), SCHEMA)


@pytest.mark.parametrize("schema", [*INCOMING.values(), DERIVED["retrieval_examples"]])
def test_arrow_schemas_are_spark_schemas(schema: pa.Schema):
    assert spark_schema(schema).names == schema.names
