"""One Spark session a process, with defaults for a laptop: UTC, loopback, quiet."""

import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

from pyspark.sql import SparkSession

from contracts import Settings
from features.java_home import java_home

QUIET = Path(__file__).with_name("log4j2.properties")


def spark(settings: Settings) -> SparkSession:
    """The process's session, started at the first call; later calls get the same one, whatever their settings.

    Sets `JAVA_HOME`, as Spark's launcher reads it from there. Raises `JavaMissing`.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        return running
    os.environ["JAVA_HOME"] = str(java_home())
    return SparkSession.builder.config(map={**session_options(settings)}).getOrCreate()


def warm_up(settings: Settings) -> None:
    """Start the session and run a first, empty job in the background: a JVM needs many seconds until it works."""
    Thread(target=_first_job, args=[settings], name="spark-warm-up", daemon=True).start()


def _first_job(settings: Settings) -> None:
    with suppress(Exception):  # whoever asks for the session meets the same error, and can tell it
        spark(settings).range(1).selectExpr("sum(id)").collect()


def session_options(settings: Settings) -> dict[str, str]:
    """Spark's options by their own names."""
    return {
        "spark.app.name": "tastefeed",
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.extraJavaOptions": _java_options(settings),
        "spark.ui.enabled": str(settings.spark_ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(settings.spark_shuffle_partitions),
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        # Spark's own default is INT96, which polars reads without a timezone
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        **(_LOOPBACK if settings.spark_master.startswith("local") else {}),
    }


def _java_options(settings: Settings) -> str:
    return f'-Duser.timezone=UTC "-Dlog4j2.configurationFile={QUIET.as_uri()}" {settings.spark_java_options}'.strip()


_LOOPBACK = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
"""Works with no network, and nobody outside reaches the driver; executors on other machines must, so local only."""
