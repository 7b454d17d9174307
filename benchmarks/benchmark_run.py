"""A benchmark in MLflow: one run with a child a method, in SQLite in `--out` where no tracking URI is set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts import Settings
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.experiments.open_runs import ended_with_block
from pipeline.experiments.run_log import MethodRecord, log_method
from pipeline.lake import Lake

EXPERIMENT = "bench"
ABOUT = ("dataset", "k", "seed", "threads", "trials", "tuned_on", "command", "counts", "versions", "machine", "skipped")


@dataclass(frozen=True)
class BenchmarkRun:
    """An open run, and the store that holds it."""

    mlflow: MlflowLogger
    run_id: str

    def log(self, figures: Mapping[str, Any], records: Mapping[str, MethodRecord]) -> None:
        """Log what `metrics.json` holds, and for each method of `records` what `tastefeed compare` reads."""
        self.mlflow.params(self.run_id, {name: figures[name] for name in ABOUT})
        for name, method in figures["methods"].items():
            run = self.mlflow.start(name, self.run_id)
            self.mlflow.params(run, {"method": name, "dataset": figures["dataset"], "config": method["config"]})
            self.mlflow.metrics(run, {**method["figures"], "search_trials": method["trials"]})
            if name in records:
                log_method(self.mlflow, run, records[name], seed=figures["seed"])
            self.mlflow.end(run)
        self.mlflow.metrics(self.run_id, _flat_gains(figures["gains"]))


@contextmanager
def open_benchmark_run(name: str, settings: Settings, out: Path) -> Iterator[BenchmarkRun]:
    """A run that ends with the block."""
    mlflow = MlflowLogger(settings, Lake(out), experiment=EXPERIMENT)
    run_id = mlflow.start(name)
    with ended_with_block(mlflow, run_id):
        yield BenchmarkRun(mlflow, run_id)


def _flat_gains(gains: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    return {
        f"gain_over_{peer}.{metric}.{bound}": value
        for peer, metrics in gains.items()
        for metric, interval in metrics.items()
        for bound, value in interval.items()
    }
