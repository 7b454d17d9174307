"""Settings: where tastefeed runs, from environment variables `TASTEFEED_*`, with every path and URL derived from them.

What a component is belongs to the config beside that component (`RerankerConfig`, `GateConfig`, ...).
"""

from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import LakeMissing
from contracts.lake_path import how_to_make_lake, require_plain_path
from contracts.setting_variables import NESTED, PREFIX, given_variables, names, refuse_unknown

NIGHT_ONLY = ("two_tower", "epochs_a_cut", "ranking", "index", "gates")
"""The fields of `NightConfig`, which checks their variables itself. The server does not import it."""


class DataConfig(BaseSettings):
    """What every stage of a night assumes about its data: sessions, decay, and the weeks of training and evaluation.

    It is read from the same variables as `Settings`. It lies here because an import needs it without loading a model.
    """

    model_config = SettingsConfigDict(env_prefix="TASTEFEED_", frozen=True, extra="forbid")

    session_gap_minutes: float = Field(30, gt=0, description="silence that ends a session without session_id")
    half_life_days: float = Field(14, gt=0, description="half-life of click and save strengths")
    holdout_days: int = Field(7, ge=1, description="last days held out for evaluation and gates")
    label_weeks: int = Field(8, ge=1, description="weekly cutoffs whose following week labels the re-ranker")
    rehearsal_weeks: int = Field(2, ge=0, description="label weeks before the holdout that the gates read as well")


class Settings(DataConfig):
    """Read from `TASTEFEED_*`; `tastefeed settings` prints each value and where it came from, secrets masked."""

    lake: str = Field("lake", description="folder or fsspec URL of the lake")
    seed: int = Field(7, ge=0, description="seed of everything random")
    device: str = Field("auto", description="torch device: auto, cpu, cuda")
    threads: int = Field(0, ge=0, description="threads of torch, LightGBM, FAISS and polars; 0 is every core")
    wait_policy: Literal["passive", "active"] = Field(
        "passive", description="what a thread does that waits for others: passive sleeps, active keeps its core busy"
    )

    spark_master: str = Field("local[*]", description="local[*], spark://…, yarn or k8s://…")
    spark_driver_memory: str = Field("2g", description="memory of the Spark driver")
    spark_java_options: str = Field(
        "-XX:TieredStopAtLevel=1 -XX:+UseParallelGC",
        description="JVM options of the Spark driver; the default starts fast, empty pays above some 10 million events",
    )
    spark_shuffle_partitions: int = Field(4, ge=1, description="partitions of a Spark shuffle")
    spark_ui: bool = Field(False, description="serve Spark's web UI while a night runs")

    max_bad_share: float = Field(0.05, ge=0, le=1, description="share of broken rows above which the night stops")
    max_placeholder_share: float = Field(
        0.05, ge=0, le=1, description="share of events with one placeholder id (null, nan) above which an import stops"
    )
    max_unpacked_mb: int = Field(4096, ge=1, description="MB of text that a .gz file may unpack to when imported")

    mlflow_tracking_uri: str = Field("", description="MLflow tracking URI; empty: SQLite in the lake's folder")
    opt_out_url: str = Field("", description="SQLAlchemy URL of the opt-out store; empty: SQLite in the lake's folder")
    events_url: str = Field("", description="SQLAlchemy URL of posted events; empty: SQLite in the lake's folder")
    night_schedule: str = Field("0 0 * * *", description="when Airflow starts a night, as cron in UTC")
    last_night: date | None = Field(
        None, description="last day of a night that Airflow schedules; empty: no end; for data that have ended"
    )
    airflow_home: Path | None = Field(None, description="Airflow's home; empty: .airflow in the lake's folder")

    rectools_python: str = Field(
        "", description="Python of an environment with rectools[torch], for the benchmark's SASRec; empty: left out"
    )

    max_body_bytes: int = Field(4 * 2**20, ge=1, description="bytes of a request's body above which it is refused")
    head_timeout_s: float = Field(10, gt=0, description="seconds that a request's address and headers may take")
    body_timeout_s: float = Field(30, gt=0, description="seconds that a request's body may take")
    max_concurrent_requests: int = Field(
        64, ge=1, description="requests that a worker answers at once; it refuses more with 503"
    )
    share_releases: bool = Field(
        True, description="the server processes of a machine map one copy of a release; off: each has its own"
    )
    shared_folder: Path | None = Field(None, description="folder of these copies; empty: /dev/shm")
    store_timeout_s: float = Field(0.25, gt=0, description="seconds that a request waits for a locked store at most")
    fatigue_discount: float = Field(
        0.1, ge=0, le=1, description="share of an item's relevance that each impression without an interaction takes"
    )
    fatigue_limit: int = Field(10, ge=0, description="impressions after which an item is left out; 0 is never")
    record_served: bool = Field(
        False, description="record what personalized feeds show as impressions; off: clients post impressions"
    )
    repeat_minutes: float = Field(30, ge=0, description="minutes after an impression in which an item comes last")
    exploration_slots: int = Field(
        0, ge=0, description="places of a page, at most half, for items that the ranker is uncertain about"
    )
    exploration_temperature: float = Field(
        0.1, gt=0, description="of the softmax by which they are drawn, over relevance 0 to 1"
    )
    exploration_pool: int = Field(50, ge=1, description="items that a page draws from: the best that are not on it")
    exploration_users: int = Field(20, ge=0, description="an item with at most so many users is uncertain")
    cors_origins: str = Field(
        "", description="comma-separated origins, as in https://example.org, whose pages may call; * for any"
    )
    rate_limit: str = Field(
        "", description="requests of one key that a server admits, as in 100/second or 20/second;600/minute; empty: any"
    )
    tls_cert: Path | None = Field(None, description="file with the certificate chain (PEM); empty: plain HTTP")
    tls_key: Path | None = Field(None, description="file with the private key of the certificate (PEM)")
    log_format: Literal["text", "json"] = Field("text", description="log lines of the server: text, or JSON objects")
    keys_file: Path | None = Field(
        None, description="file with lines `feed KEY` and `admin KEY`, read again when it changes"
    )
    feed_keys: SecretStr = Field(SecretStr(""), description="comma-separated keys that read feeds and post events")
    cursor_keys: SecretStr = Field(
        SecretStr(""), description="comma-separated keys of cursors, the first signs; empty: .cursor_key in the lake"
    )
    experiment: Path | None = Field(None, description="JSON file of the running A/B experiment; empty: none")
    shadow_release: str = Field(
        "", description="version that answers the same requests in the background, to be compared; empty: none"
    )
    exposure_log: bool = Field(False, description="log the items of personalized pages to the lake, without user ids")
    otlp_endpoint: str = Field(
        "", description="URL that receives OpenTelemetry traces; empty: OTEL_EXPORTER_OTLP_ENDPOINT, or none"
    )
    pseudonym_key: SecretStr = Field(
        SecretStr(""), description="key of the pseudonyms in audit and exposure log; empty: .pseudonym_key in the lake"
    )
    admin_keys: SecretStr = Field(
        SecretStr(""),
        description="comma-separated keys that also set opt-outs and kill switches, and read traces and the audit",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        """Refuse a variable that is neither a setting nor of a component of the night."""
        night = {f"{PREFIX}{name}".upper() for name in NIGHT_ONLY}
        refuse_unknown(names(cls), [name for name in given_variables() if name.split(NESTED)[0] not in night], night)
        return values

    @property
    def lake_folder(self) -> Path:
        """The lake's local folder; for a remote lake, the folder `lake` in the working directory.

        Raises `BadSetting`."""
        local = self.lake.removeprefix("file://")
        return Path(require_plain_path(str(Path("lake" if "://" in local else local).absolute())))

    @property
    def release_root(self) -> Path:
        """The folder of releases. It is always local, because publishing renames its pointer file."""
        return self.lake_folder / "releases"

    @property
    def opt_out_dsn(self) -> str:
        """The URL of the opt-out store."""
        return self.opt_out_url or f"sqlite:///{self.lake_folder}/opt_outs.db"

    @property
    def events_dsn(self) -> str:
        """The URL of the store of posted events."""
        return self.events_url or f"sqlite:///{self.lake_folder}/pending_events.db"

    def require_lake_folder(self) -> Path:
        """The lake's local folder. Raises `LakeMissing` where it does not exist; this never creates a lake."""
        folder = self.lake_folder
        if not folder.is_dir():
            problem = "is a file, not a lake" if folder.exists() else "no such lake"
            raise LakeMissing(f"{folder}: {problem}; {how_to_make_lake(self.lake)}")
        return folder
