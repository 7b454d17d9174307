import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

import polars as pl
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from contracts import Settings
from contracts.errors import JavaMissing, SchemaMismatch
from contracts.schemas import DERIVED, INCOMING
from features import conform, spark_schema
from features import spark as start
from features.spark_session import java_home, java_version, session_options, usual_homes


def test_one_session_a_process(spark: SparkSession):
    assert start(Settings(spark_master="local[1]")) is spark
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_java_leaves_nothing_behind_that_does_not_go_with_the_run(spark: SparkSession):
    folder = Path(gettempdir())
    assert folder.name.startswith("run-")
    assert Path(os.environ["AIRFLOW_HOME"]).parent == folder
    if not os.statvfs(folder).f_flag & os.ST_NOEXEC:
        assert spark._jvm.java.lang.System.getProperty("java.io.tmpdir") == str(folder)
        assert list(folder.glob("blockmgr-*"))


def test_settings_reach_spark():
    options = session_options(
        Settings(
            spark_master="local[3]",
            spark_driver_memory="5g",
            spark_java_options="-Xss8m",
            spark_shuffle_partitions=9,
            spark_ui=True,
        )
    )
    assert options["spark.master"] == "local[3]"
    assert options["spark.driver.memory"] == "5g"
    assert options["spark.driver.extraJavaOptions"].endswith(" -Xss8m")
    assert options["spark.sql.shuffle.partitions"] == "9"
    assert options["spark.ui.enabled"] == "true"


def test_loopback_on_one_machine_alone():
    assert session_options(Settings(spark_master="local[*]"))["spark.driver.host"] == "127.0.0.1"
    assert "spark.driver.host" not in session_options(Settings(spark_master="spark://far:7077"))


def test_polars_reads_the_same_instant(spark: SparkSession, tmp_path: Path):
    instant = datetime(2024, 3, 31, 2, 30, 0, 123456, tzinfo=UTC)
    spark.createDataFrame([(instant,)], "at timestamp").write.parquet(str(tmp_path / "t"))
    read = pl.read_parquet(tmp_path / "t" / "*.parquet")
    assert read.schema == {"at": pl.Datetime("us", "UTC")}
    assert read.item() == instant


def a_home(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\nJAVA_VERSION_DATE="2025-04-15"\n')
    return folder


def test_version_is_read_from_the_release_file(tmp_path: Path):
    assert java_version(a_home(tmp_path / "a", "17.0.15")) == 17
    assert java_version(a_home(tmp_path / "b", "25")) == 25
    assert java_version(tmp_path) is None


def test_first_fit_home_wins(tmp_path: Path):
    too_new, fit, also_fit = (a_home(tmp_path / version, version) for version in ("25.0.3", "21.0.7", "17.0.15"))
    assert java_home([tmp_path / "absent", too_new, fit, also_fit]) == fit


def test_message_names_what_was_found_and_the_remedy(tmp_path: Path):
    home = a_home(tmp_path / "jdk", "25.0.3")
    with pytest.raises(JavaMissing, match=f"needs Java 17 or 21, found Java 25 in {home}; install one .*JAVA_HOME"):
        java_home([home])
    with pytest.raises(JavaMissing, match="found no Java at all"):
        java_home([])


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert next(usual_homes()) == tmp_path


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
