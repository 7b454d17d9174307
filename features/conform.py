"""Check that a frame has the columns and types of a schema."""

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructField, StructType

from contracts.errors import SchemaMismatch


def conform(frame: DataFrame, schema: pa.Schema) -> DataFrame:
    """Exactly the columns of `schema`, in its order; others are dropped.

    Raises `SchemaMismatch` that names each column which is missing or of another type. No value is cast, because a
    silent cast turns a broken id or a timestamp without time zone into a wrong one.
    """
    have = {field.name: field for field in frame.schema}
    problems = [problem for want in spark_schema(schema) if (problem := _problem(want, have.get(want.name)))]
    if problems:
        raise SchemaMismatch("; ".join(problems))
    return frame.select(*schema.names)


def spark_schema(schema: pa.Schema) -> StructType:
    """The Arrow schema as a Spark schema."""
    return from_arrow_schema(schema)


def _problem(want: StructField, have: StructField | None) -> str | None:
    wanted, actual = want.dataType.simpleString(), have.dataType.simpleString() if have else "no such column"
    return None if wanted == actual else f"{want.name}: want {wanted}, have {actual}"
