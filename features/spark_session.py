"""One Spark session per process with defaults for a laptop, the Java home that it starts with, and checks of frames."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread, current_thread, main_thread

import pyarrow as pa
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructField, StructType

from contracts import Settings
from contracts.errors import JavaMissing, SchemaMismatch
from contracts.stop_signals import stopping

INCUBATOR = "Using incubator modules: jdk.incubator.vector"
_STARTING = Lock()
QUIET = Path(__file__).with_name("log4j2.properties")


def spark(settings: Settings) -> SparkSession:
    """The process's session, started at the first call; later calls get the same one, whatever their settings.

    Sets `JAVA_HOME`, as Spark's launcher reads it from there. Raises `JavaMissing`.
    """
    with _STARTING:
        if SparkContext._active_spark_context is None:
            os.environ["JAVA_HOME"] = str(java_home())
            _start(SparkConf().setAll(list(session_options(settings).items())))
        return SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()


def _start(options: SparkConf) -> None:
    ctrl_c = signal.getsignal(signal.SIGINT)
    reads, writes = os.pipe()
    Thread(target=_pass_on, args=[reads], name="java-stderr", daemon=True).start()
    try:
        SparkContext(conf=options, gateway=launch_gateway(options, {"stderr": writes}))  # type: ignore[no-untyped-call]  # the library's
    finally:
        os.close(writes)
        if current_thread() is main_thread():
            signal.signal(signal.SIGINT, ctrl_c)  # Spark installs a handler of its own, and the command would go on


def _pass_on(reads: int) -> None:
    """Write what Java complains about, but nothing while a signal ends it. A warning that Spark's own options cause,
    and that Java has no option for, is left out."""
    with os.fdopen(reads, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if INCUBATOR not in line and not stopping():
                sys.stderr.write(line)


def warm_up(settings: Settings) -> None:
    """Start the session and run a small job in the background, because a JVM takes many seconds to start."""
    Thread(target=_first_job, args=[settings], name="spark-warm-up", daemon=True).start()


def _first_job(settings: Settings) -> None:
    with suppress(Exception):  # the first caller of the session gets the same error and reports it
        spark(settings).range(1).selectExpr("sum(id)").collect()


def session_options(settings: Settings) -> dict[str, str]:
    """Spark's options by name."""
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
"""Works without a network and keeps the driver unreachable from outside; remote executors need it, so local only."""


SUPPORTED = (17, 21)
"""Java releases on which Spark 4.3 is tested here."""

_PLACES = (
    (Path("/usr/lib/jvm"), "*"),
    (Path("/opt"), "*jdk*"),
    (Path("/Library/Java/JavaVirtualMachines"), "*/Contents/Home"),
    (Path.home() / ".sdkman/candidates/java", "*"),
)


def java_home(homes: Iterable[Path] | None = None) -> Path:
    """The first Java home that Spark can run with: JAVA_HOME, `java` on the PATH, then the usual places.

    Raises `JavaMissing` with the versions that were found and the remedy.
    """
    versions = {home: java_version(home) for home in (usual_homes() if homes is None else homes)}
    for home, version in versions.items():
        if version in SUPPORTED:
            return home
    unfit = ", ".join(f"Java {version} in {home}" for home, version in versions.items() if version) or "no Java at all"
    raise JavaMissing(
        f"Spark needs Java {' or '.join(map(str, SUPPORTED))}, found {unfit}; install one "
        "(Debian: apt-get install openjdk-17-jre-headless) or point JAVA_HOME at it"
    )


def usual_homes() -> Iterator[Path]:
    """Where a Java may be, the best guess first."""
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]
    for folder, pattern in _PLACES:
        yield from sorted(folder.glob(pattern))


def java_version(home: Path) -> int | None:
    """The feature release (17 for 17.0.15) that a Java home's `release` file names; None where it is no Java home."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(version[1]) if version and (home / "bin" / "java").exists() else None


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
