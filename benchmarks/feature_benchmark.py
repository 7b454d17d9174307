"""`tastefeed bench features`: what each table of features costs with Spark, on events of any number.

The stages are those of the night, on a lake of synthetic events. A second size shows how the costs grow.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from benchmarks.profiling import machine, peak_rss_mb
from benchmarks.synthetic_events import EventsSize, synthetic_events, synthetic_items
from contracts import Settings
from contracts.atomic_files import replace_file
from evaluation import markdown
from features import warm_up
from pipeline.experiments.open_runs import ended_with_block
from pipeline.ingestion import store_batch
from pipeline.run_context import open_run_context
from pipeline.stage_runner import run_stage
from pipeline.stages.feature_tables import FEATURE_TABLES

PAGE, METRICS = "benchmarks-features.md", "metrics.json"
STAGES = ("events", *FEATURE_TABLES)
INTRODUCTION = """# Benchmark of features

`tastefeed bench features` makes this page. It runs the stages of the night that compute the tables of features, on
synthetic events: a few items have most clicks, and a few users most events. All cutoffs of a night are computed.
Processor time is that of Python and of Spark's Java process together."""


@dataclass(frozen=True)
class StageCost:
    """What one stage took."""

    stage: str
    seconds: float
    cpu_seconds: float
    rows: int


@dataclass(frozen=True)
class SizeCosts:
    """What the stages took on events of one size."""

    size: EventsSize
    stages: tuple[StageCost, ...]
    peak_rss_mb: float
    """Peak memory of Python and Java together, over all sizes so far."""

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(each.seconds for each in self.stages)


def measure(out: Path, command: str, sizes: Sequence[EventsSize], settings: Settings) -> Path:
    """Run the stages on each size, and write `metrics.json` and the page under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    in_order = sorted(sizes, key=lambda each: each.events)
    costs = [measure_size(out / f"lake-{size.events}", size, settings) for size in in_order]
    document = {
        "kind": "features",
        "command": command,
        "machine": machine(),
        "sizes": [figures(each) for each in costs],
    }
    replace_file(out / METRICS, (json.dumps(document, indent=1) + "\n").encode())
    replace_file(out / PAGE, page(command, costs).encode())
    return out / PAGE


def measure_size(lake: Path, size: EventsSize, settings: Settings) -> SizeCosts:
    """Run the stages on a new lake, which is removed afterwards."""
    shutil.rmtree(lake, ignore_errors=True)
    store_batch("items", synthetic_items(size), lake, datetime.now(UTC))
    store_batch("events", synthetic_events(size, settings.seed), lake, datetime.now(UTC))
    night = open_run_context(str(lake), size.as_of, settings)
    warm_up(night.settings)
    night.spark.range(1).count()  # the start of Java belongs to no table
    run_stage(night, "forget")
    with ended_with_block(night.mlflow, night.mlflow_run):
        costs = []
        for name in STAGES:
            started, cpu_before = time.perf_counter(), cpu_seconds()
            run_stage(night, name)
            seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu_before
            costs.append(StageCost(name, round(seconds, 2), round(cpu, 2), night.count(name)))
    shutil.rmtree(lake)
    return SizeCosts(size, tuple(costs), round(peak_rss_mb()))


def cpu_seconds() -> float:
    """Processor time of this process and of the Java process that it started, so far."""
    process = psutil.Process()
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def figures(costs: SizeCosts) -> dict[str, Any]:
    """The costs as JSON."""
    size = asdict(costs.size) | {"as_of": costs.size.as_of.isoformat()}
    return {**size, "peak_rss_mb": costs.peak_rss_mb, "stages": [asdict(each) for each in costs.stages]}


def page(command: str, costs: Sequence[SizeCosts]) -> str:
    """The costs as a page of Markdown."""
    parts = [INTRODUCTION, *map(_section, costs), _machine_text(), f"Run it again: `{command}`"]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _section(costs: SizeCosts) -> str:
    size = costs.size
    rows = [
        {
            "Stage": each.stage,
            "Time, s": f"{each.seconds:.1f}",
            "Processor time, s": f"{each.cpu_seconds:.1f}",
            "Rows written": f"{each.rows:,}",
            "Events per second": f"{size.events / max(each.seconds, 1e-9):,.0f}",
        }
        for each in costs.stages
    ]
    return (
        f"## {size.events:,} events, {size.users:,} users, {size.items:,} items, {size.days} days\n\n"
        f"{markdown(pl.DataFrame(rows), marked=False)}\n"
        f"All stages: {costs.seconds:.0f} s, {size.events / max(costs.seconds, 1e-9):,.0f} events per second. "
        f"Peak memory of Python and Java: {costs.peak_rss_mb:,.0f} MB."
    )


def _machine_text() -> str:
    on = machine()
    return f"Run on {on['cores']} cores, {on['memory_gb']} GB of memory, {on['system']}, Python {on['python']}."
