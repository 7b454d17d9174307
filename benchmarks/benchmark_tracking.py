"""Benchmarks in MLflow: one run a benchmark, one child run a method: settings, means, per-user metrics without ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts import Settings
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.experiments.run_log import MethodRecord, log_method
from pipeline.lake import Lake

EXPERIMENT = "bench"
ABOUT = ("dataset", "k", "seed", "threads", "trials", "tuned_on", "command", "counts", "versions", "machine", "skipped")


def track(
    figures: Mapping[str, Any],
    records: Mapping[str, MethodRecord],
    settings: Settings,
    out: Path,
    kind: str = "retrieval",
) -> None:
    """Log what `metrics.json` holds, and for each method of `records` what `tastefeed compare` reads.

    To SQLite in `out` where no tracking URI is set.
    """
    tracking = MlflowLogger(settings, Lake(out), experiment=EXPERIMENT)
    parent = tracking.start(f"{kind} {figures['dataset']}")
    tracking.params(parent, {name: figures[name] for name in ABOUT})
    for name, method in figures["methods"].items():
        run = tracking.start(name, parent)
        tracking.params(run, {"method": name, "dataset": figures["dataset"], "config": method["config"]})
        tracking.metrics(run, {**method["figures"], "search_trials": method["trials"]})
        if name in records:
            log_method(tracking, run, records[name], seed=figures["seed"])
        tracking.end(run)
    tracking.metrics(parent, _flat_gains(figures["gains"]))
    tracking.end(parent)


def _flat_gains(gains: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    return {
        f"gain_over_{peer}.{metric}.{bound}": value
        for peer, metrics in gains.items()
        for metric, interval in metrics.items()
        for bound, value in interval.items()
    }
