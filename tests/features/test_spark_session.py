from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from pyspark.sql import SparkSession

from contracts import Settings
from features import spark as start
from features.spark_session import session_options


def test_one_session_a_process(spark: SparkSession):
    assert start(Settings(spark_master="local[1]")) is spark
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


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
