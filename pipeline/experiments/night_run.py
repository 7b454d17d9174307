"""The parent run of a night in MLflow: its settings, its data and its main metrics, so that two nights can be compared.

The settings have the names of `tastefeed settings` in dotted form (`two_tower.epochs`). A place or a secret is never
logged, only whether it is set. Metrics of other methods than the final list are in the run of each method.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from mlflow.entities import Dataset, DatasetInput, InputTag
from pydantic import BaseModel

from contracts import Settings, __version__
from contracts.errors import UnreadableInput
from contracts.schemas import EVENTS, ITEMS, USERS
from evaluation import markdown
from evaluation.metrics_tables import heading
from evaluation.results import FINAL
from pipeline.code_version import git_commit
from pipeline.experiments.mlflow_logger import COMMIT, DESCRIPTION, LABEL, flattened, is_place
from pipeline.experiments.open_runs import note_run
from pipeline.experiments.run_log import bounds_of
from pipeline.ingestion.landing_zone import digest_of_batches
from pipeline.metrics_store import MetricsTables
from pipeline.run_context import NightConfig

if TYPE_CHECKING:
    from pipeline.run_context import RunContext, Summary

CHANGED = "tastefeed.changed_settings"
CONTEXT = "mlflow.data.context"
"""MLflow's own tag: the use of a data set."""
MAX_LABEL_LENGTH, MAX_TAG_LENGTH, DIGEST_LENGTH = 64, 5000, 36
MAIN_METRIC = "ndcg_at_20"
"""The metric that the parent run has of every method."""


def open_parent_run(night: "RunContext", name: str) -> str:
    """Open the run of a night or a backtest: settings, label and description. Raises `UnreadableInput` for a bad
    label."""
    label = checked_label(night.label)
    run = night.mlflow.start(" · ".join(filter(None, (name, label))))
    note_run(night, run)
    night.mlflow.params(run, {"as_of": night.splits.as_of, "code": __version__, **all_settings(night)})
    changed = ", ".join(f"{name}={value}" for name, value in changed_settings(night).items())
    tags = {COMMIT: git_commit(), CHANGED: changed[:MAX_TAG_LENGTH], DESCRIPTION: description(label, changed)}
    night.mlflow.tags(run, tags | ({LABEL: label} if label else {}))
    return run


def checked_label(label: str) -> str:
    """The label without blanks around it. Raises `UnreadableInput` for one that a comparison could not name."""
    text = label.strip()
    if len(text) > MAX_LABEL_LENGTH or not text.isprintable() or set(text) & set("/'\"`"):
        raise UnreadableInput(
            f"--label {label!r}: a label has at most {MAX_LABEL_LENGTH} printable characters, no slash and no quote"
        )
    return text


def description(label: str, changed: str, results: str = "") -> str:
    """The text that MLflow shows above a run."""
    lines = (
        f"**{label}**" if label else "",
        f"Settings that differ from the defaults: {changed or 'none'}.",
        results,
    )
    return "\n\n".join(filter(None, lines))


def all_settings(night: "RunContext") -> dict[str, Any]:
    """Every setting of a night by its dotted name; for a place or secret, whether it is set."""
    defaults = _defaults()
    return {
        name: value if not is_place(name) else "set" if value != defaults[name] else "default"
        for name, value in _values(night)
    }


def changed_settings(night: "RunContext") -> dict[str, Any]:
    """The settings that differ from their defaults, but no place and no secret."""
    defaults = _defaults()
    return {name: value for name, value in _values(night) if value != defaults[name] and not is_place(name)}


def _values(night: "RunContext") -> Iterable[tuple[str, Any]]:
    return flattened({**night.settings.model_dump(), **night.config.model_dump()})


def _defaults() -> dict[str, Any]:
    fields = {**Settings.model_fields, **NightConfig.model_fields}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    return dict(
        flattened(
            {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in defaults.items()}
        )
    )


def log_ingested(night: "RunContext", counts: "Summary") -> None:
    """Log the counts of a night's events, and its tables with their digests."""
    mlflow, run = night.mlflow, night.mlflow_run
    mlflow.metrics(run, {f"data/{name}": counts[name] for name in ("ingested", "kept", "bad_share")})
    mlflow.metrics(run, {f"quarantine/{reason}": rows for reason, rows in counts["quarantine"].items()})
    tables = [data_set("events", counts["fingerprint"], "training", EVENTS, counts["kept"])]
    for name, schema in (("items", ITEMS), ("users", USERS)):
        if digest := digest_of_batches(night.home.url, name):
            tables.append(data_set(name, digest, "training", schema))
    mlflow.client.log_inputs(run, tables)


def data_set(
    name: str, digest: str, use: str, schema: pa.Schema | None = None, rows: int | None = None
) -> DatasetInput:
    """A table of the lake as an input of a run: its columns and its digest, and nothing of its rows."""
    columns = [{"name": field.name, "type": str(field.type), "required": False} for field in schema or ()]
    entity = Dataset(
        name,
        digest[:DIGEST_LENGTH],
        source_type="lake",
        source=json.dumps({"table": name}),
        schema=json.dumps({"mlflow_colspec": columns}) if schema else None,
        profile=None if rows is None else json.dumps({"num_rows": rows}),
    )
    return DatasetInput(entity, [InputTag(CONTEXT, use)])


def log_results(night: "RunContext", tables: MetricsTables, summary: "Summary", held_out: str) -> None:
    """Log the metrics of a night, its tables, and the digest of the held-out labels `held_out`."""
    mlflow, run = night.mlflow, night.mlflow_run
    mlflow.metrics(run, main_metrics(tables))
    mlflow.metrics(run, {f"retrieval/{name}": summary[name] for name in ("index_recall_at_100", "candidate_recall")})
    mlflow.client.log_inputs(run, [data_set("held_out_labels", held_out, "evaluation", rows=summary["users"])])
    for name, table in tables.named.items():
        mlflow.artifact(run, f"{name}.md", markdown(table, marked=table is tables.means))
        mlflow.artifact(run, f"{name}.json", table.write_json())
    tags = mlflow.client.get_run(run).data.tags
    measured = f"{summary['users']:,} users, {heading(MAIN_METRIC)} {summary[MAIN_METRIC]:.4f}"
    results = f"Held out {summary['held_out']}: {measured}."
    described = description(tags.get(LABEL, ""), tags.get(CHANGED, ""), results)
    mlflow.tags(run, {DESCRIPTION: described, "champion": summary["champion"]})


def main_metrics(tables: MetricsTables) -> dict[str, float]:
    """`final/…`: every metric of the final list, and the bounds of its intervals; `ndcg_at_20/…`: of every method."""
    means = {row["method"]: row for row in tables.means.to_dicts()}
    ours = {f"{FINAL}/{name}": means[FINAL][name] for name in tables.means.columns[2:]}
    bounds = {f"{FINAL}/{name}": value for name, value in bounds_of(tables.intervals, FINAL).items()}
    methods = {f"{MAIN_METRIC}/{method}": row[MAIN_METRIC] for method, row in means.items()}
    return _known({**ours, **bounds, **methods})


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
