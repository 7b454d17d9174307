"""The page and the plots of the benchmark of serving, made of the metrics.json of its runs and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.summary_text import Run
from evaluation import markdown

PAGE, PLOT = "benchmarks-serving.md", "serving.svg"
INTRODUCTION = """# Benchmark of serving

`tastefeed bench serving` starts `tastefeed serve` as a process and drives it with `h2load`. `tastefeed bench report`
makes this page from its `metrics.json`. A request is a page of 50 items with explanations. Each client requests
thousands of different users, and every answer must be 200.

- **Closed loop**: a client sends its next request when it has the answer. **Open loop**: requests at a fixed rate on up
  to 32 connections, whether or not earlier answers have come. A server that is slower shows the rate that it reached.
- **Bare computation**: index search, tree scoring and the slate as a plain loop in one process. Release and candidates
  are the same; consent, features, explanations, JSON and HTTP are left out.
- **Fixed reference**: HNSW search of 300 neighbours among 100,000 vectors, and LightGBM's own prediction of 500 rows
  with 40 features by 200 trees. It is the same for every release and version. No target depends on it. It took 4 ms on
  the machine for which the targets were set.
- **Processor time** of a request is that of all server processes, divided by the requests. The load generator shares
  the cores with the server, so the throughput is lower than on a machine of its own. **Busiest worker** is the share
  of the worker that had most of it; a connection stays with the worker that accepted it.
- **Stages** are medians of the feed in one process. The rest of the server's processor time is HTTP and threads.
- **Memory** is what one worker has for itself. Files of the release that are mapped into memory are shared and do not
  count.
- **Synthetic releases** have vectors in clusters, a re-ranker with the night's settings, and the index that a night
  chooses for the size. Each user has about 500 candidates.

Other work on the machine makes every time larger. A ratio compares two figures of one run.
"""
BUSY = """**Taken on a busy machine.** Latency, throughput and the start include waits for the cores; figures of
processor time hardly do.

"""
MET, MISSED = "met", "**missed**"
CLOSED, OPEN = "closed, {clients} at once", "open, {rate:g} requests/s"
FIXED: dict[Any, Any] = {"svg.hashsalt": "tastefeed", "svg.fonttype": "none"}
"""The same numbers make the same file."""
COLOURS = ("#7a8b99", "#c8553d", "#e0a458")
QUANTILES = ("p50_ms", "p95_ms", "p99_ms")
OUTSIDE = "HTTP and threads"
COUNTS = {"feeds": "profiled feeds", "feeds_without_a_profile": "non-profiled feeds"}
"""Rows of a soak that have another name than the count."""
SHORT = {"feeds_per_s": "feeds per second, reached", "changes_per_s": "changes of opt-outs per second, reached"}
RATE, SUSTAINED = 100.0, 0.95


def page(runs: Sequence[Run], plots: str) -> str:
    """The whole page: loads from the smallest release to the largest, then soaks. The picture is of the first load."""
    loads = sorted((run for run in runs if "loads" in run), key=lambda run: int(run["counts"]["items"]))
    picture = [f"![Latency and processor time by stage]({plots}/{PLOT})\n"] if loads else []
    sections = [_section(run, loads) for run in loads] + [_soak_section(run) for run in runs if "loads" not in run]
    return "\n".join([INTRODUCTION, *picture, *sections])


def title(run: Run) -> str:
    """The size of a release."""
    return f"{run['counts']['items']:,} items, {run['counts']['users']:,} users"


def _section(run: Run, all_runs: Sequence[Run]) -> str:
    parts = [
        f"## {title(run)}",
        markdown(loads_table(run), marked=False),
        markdown(targets_table(run, all_runs), marked=False),
        markdown(stages_table(run), marked=False),
        markdown(figures_table(run), marked=False),
        _conditions(run),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def loads_table(run: Run) -> pl.DataFrame:
    """One row for each load."""
    return pl.DataFrame(
        {
            "load": [name_of(each) for each in run["loads"]],
            "requests/s": [f"{each['throughput']:,.1f}" for each in run["loads"]],
            **{
                heading: [f"{each[name]:,.1f}" for each in run["loads"]]
                for heading, name in (
                    ("P50, ms", "p50_ms"),
                    ("P95, ms", "p95_ms"),
                    ("P99, ms", "p99_ms"),
                    ("longest, ms", "max_ms"),
                    ("processor time, ms", "cpu_ms"),
                )
            },
            "busiest worker": [
                f"{100 * each['busiest_share']:.0f} %" if "busiest_share" in each else "" for each in run["loads"]
            ],
        }
    )


def name_of(load: Mapping[str, Any]) -> str:
    """Closed or open, and how much."""
    return OPEN.format(**load) if load["rate"] else CLOSED.format(**load)


@dataclass(frozen=True)
class Target:
    """A figure that was wanted: at most `limit`, or at least."""

    what: str
    value: float
    limit: float
    unit: str
    at_most: bool = True

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Its row of the table."""
        met = self.value <= self.limit if self.at_most else self.value >= self.limit
        wanted = f"{'at most' if self.at_most else 'at least'} {self.limit:g} {self.unit}"
        measured = f"{self.value:,.4g} {self.unit}" if isfinite(self.value) else "rate not reached"
        return self.what, wanted, measured, MET if met else MISSED


def targets_table(run: Run, all_runs: Sequence[Run]) -> pl.DataFrame:
    """What was wanted, what was measured, and whether it suffices."""
    rows = [target.row for target in _targets(run, all_runs)]
    return pl.DataFrame(rows, schema=["target", "wanted", "measured", "result"], orient="row")


def _targets(run: Run, all_runs: Sequence[Run]) -> Iterator[Target]:
    yield Target("P50 at one client, over the bare computation", run["p50_over_bare"], 1.5, "times")
    for each in run["loads"]:
        if each["rate"] == RATE:
            yield Target(f"P95 at {RATE:.0f} requests/s", p95_at_rate(each), 15, "ms")
    yield Target("processor time of a request", run["cpu_ms"], 6, "ms")
    reached = run["throughput_over_bare"]
    yield Target("throughput, over the bare computation on all cores", reached, 0.7, "times", at_most=False)
    for smaller in all_runs:
        if run["counts"]["items"] == 10 * smaller["counts"]["items"]:
            ratio = run["loads"][0]["p50_ms"] / smaller["loads"][0]["p50_ms"]
            yield Target(f"P50 at one client, over that of {smaller['counts']['items']:,} items", ratio, 2, "times")
    yield Target("start to ready", run["ready_s"], 3, "s")
    yield Target("memory of a worker beyond the shared release", run["worker_private_mb"], 150, "MB")


def p95_at_rate(load: Mapping[str, Any]) -> float:
    """Infinite where the server did not reach the rate: its queue grew for as long as the load lasted."""
    return float(load["p95_ms"]) if load["throughput"] >= SUSTAINED * load["rate"] else inf


def stages_table(run: Run) -> pl.DataFrame:
    """The time of one request, by stage, and of the bare computation's parts; the last row is processor time."""
    bare = {"candidates": run["bare"]["search_ms"], "scores": run["bare"]["score_ms"], "slate": run["bare"]["slate_ms"]}
    rows = [
        (name, f"{value:.2f}", f"{bare[name]:.2f}" if name in bare else "", f"{100 * value / run['cpu_ms']:.0f} %")
        for name, value in stages_of(run).items()
    ]
    rows.append(("all, processor time", f"{run['cpu_ms']:.2f}", f"{run['bare']['cpu_ms']:.2f}", "100 %"))
    columns = ["stage", "request, ms", "bare computation, ms", "share"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def stages_of(run: Run) -> dict[str, float]:
    """The stages, and what the server's process needs beyond them."""
    stages = dict(run["stages_ms"])
    return stages | {OUTSIDE: max(run["cpu_ms"] - sum(stages.values()), 0.0)}


def figures_table(run: Run) -> pl.DataFrame:
    """Everything else."""
    lists = run["lists"]
    rows = [
        ("candidates of a user, mean", f"{run['bare']['candidates']:,.0f}"),
        ("most requests per second", f"{run['throughput']:,.0f}"),
        ("bare computation, P50 in ms", f"{run['bare']['p50_ms']:.2f}"),
        ("processor time of a request, over that of the bare computation", f"{run['cpu_over_bare']:.2f}"),
        *_of_reference(run),
        (f"1,000 feeds at {run['price_per_core_hour']:g} per core and hour", f"{run['price_per_1000_feeds']:.5f}"),
        ("release on disk, MB", f"{run['release_mb']:,.0f}"),
        ("memory of a worker beyond the shared release, MB", f"{run['worker_private_mb']:,.0f}"),
        ("memory of the shared copy, MB", f"{run.get('shared_release_mb', 0):,.0f}"),
        ("start to ready, s", f"{run['ready_s']:.1f}"),
        ("lists as files: users per second of processor time", f"{lists['batch_users_per_cpu_s']:,}"),
        ("feed of one user in a process, without HTTP: median, ms", f"{lists['one_user_p50_cpu_ms']:.1f}"),
        ("the same: 95th percentile, ms", f"{lists['one_user_p95_cpu_ms']:.1f}"),
        (f"feeds of {lists['many_users']} users in one request, ms", f"{lists['many_users_cpu_ms']:,}"),
    ]
    return pl.DataFrame(rows, schema=["what", "figure"], orient="row")


def _of_reference(run: Run) -> Iterator[tuple[str, str]]:
    """Earlier runs have none."""
    if "reference" in run:
        yield "fixed reference, P50 in ms", f"{run['reference']['p50_ms']:.2f}"
        yield "fixed reference, processor time in ms", f"{run['reference']['cpu_ms']:.2f}"
        yield "P50 at one client, over the fixed reference", f"{run['p50_over_reference']:.2f}"
        over = run["cpu_ms"] / run["reference"]["cpu_ms"]
        yield "processor time of a request, over that of the fixed reference", f"{over:.2f}"
        possible = 1000 * run["machine"]["cores"] / run["reference"]["cpu_ms"]
        yield "throughput, over that of the fixed reference on all cores", f"{run['throughput'] / possible:.2f}"


def _conditions(run: Run) -> str:
    machine, is_busy = run["machine"], run["load_before"] > run["machine"]["cores"] / 2
    return (
        f"{BUSY if is_busy else ''}Release {run['release']}, {run['workers']} server processes. Run on "
        f"{machine['cores']} cores, {machine['memory_gb']} GB of memory, {machine['system']}, Python "
        f"{machine['python']}, after a minute at a load of {run['load_before']:.1f} from other work.\n\n"
        f"Run it again: `{run['command']}`"
    )


def _soak_section(run: Run) -> str:
    rows = [(COUNTS.get(name, name.replace("_", " ")), f"{value:,}") for name, value in run["counts"].items()]
    rows += [(SHORT[name], f"{run[name]:,.1f}") for name in SHORT if name in run]
    rows += [(f"latency of a feed, P{share}, ms", f"{run[f'p{share}_ms']:,.1f}") for share in (50, 95, 99)]
    table = pl.DataFrame(rows, schema=["what", "count"], orient="row")
    share = f", {100 * run['share']:.0f} % of the most beside the changes of opt-outs" if run["share"] else ""
    changes = f"{run['wanted_changes_per_s']:g} opt-outs changed per second. " if "wanted_changes_per_s" in run else ""
    intro = (
        f"{run['minutes']:g} minutes at {run['rate']:,.0f} feeds/s{share}. {changes}Meanwhile releases were "
        "swapped and rolled back, and worker processes were killed. The time of a feed counts from when it was due."
    )
    verdict = "Every condition held." if not run["failures"] else f"**Failed**: {'; '.join(run['failures'])}."
    parts = ["## Soak", intro, markdown(table, marked=False), f"{verdict} Run it again: `{run['command']}`"]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def plot(run: Run, path: Path) -> None:
    """Latency quantiles of each load, and the stages of a request, as one SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(FIXED):
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _latencies(left, run)
        _stages(right, run)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})


def _latencies(axes: Axes, run: Run) -> None:
    names = [name_of(each) for each in run["loads"]]
    for place, (quantile, colour) in enumerate(zip(QUANTILES, COLOURS, strict=True)):
        places = [row + 0.25 * place for row in range(len(names))]
        axes.barh(places, [each[quantile] for each in run["loads"]], 0.25, color=colour, label=quantile[:3].upper())
    axes.set_yticks([row + 0.25 for row in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel(f"Latency in ms, {title(run)}")
    axes.legend(frameon=False)


def _stages(axes: Axes, run: Run) -> None:
    stages = stages_of(run)
    bars = axes.barh(list(stages), list(stages.values()), color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlabel("Stages of a request, ms")
