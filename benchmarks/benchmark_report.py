"""`tastefeed bench report`: benchmarks.md and its plots, made of the metrics.json of earlier runs and nothing else."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import ranking_report as ranking
from benchmarks import serving_report as serving
from benchmarks.method_registry import OURS
from benchmarks.retrieval_benchmark import METRICS
from benchmarks.summary_text import (
    Run,
    conditions,
    cost_table,
    quality_table,
    search_table,
    sentences,
    variants_table,
)
from contracts import Settings
from contracts.errors import UnreadableInput
from evaluation import markdown
from evaluation.metrics_tables import heading

PAGE, PLOTS, KEPT = "benchmarks.md", "benchmarks", ".json"
RETRIEVAL, SERVING = "retrieval", "serving"
INTRODUCTION = """# Benchmarks

Made by `tastefeed bench report` from the `metrics.json` of the runs below; nothing here is typed by hand.

- **Peers** come from their own libraries (EASE is its closed form) and run on the same split, with the same evaluator.
  They are tuned on validation with the trials in the table, the first of them the defaults, and not at all where they
  are 0. Newest-first is not among them where a data set has no clock that all users share.
- **`two_tower`** has no trials: it selects an encoder and its settings inside its fit, on a part of its training rows,
  by NDCG@20, whatever the depth of the table. Its fit time includes that search. Every score is an inner product of a
  user vector and an item vector.
- **Cost**: each final fit runs in a fresh process. Times are wall-clock and include interference from other
  processes. Peak memory is that whole process at its largest, and the start is what Python, the method's library
  and the rows take before the fit.
- **Variants** force one encoder, change a setting of it, have more `minutes` to train, or begin with another seed. Some
  train in another precision, which the processor decides: half precision (bfloat16) trains some three times as much in
  the minutes of a fit. Rows that name no precision train nothing.

The figures of each run are kept as `benchmarks/*.json`, which `tastefeed bench report` takes as well as folders.

Best of a column in bold.
"""


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write `benchmarks.md` and `benchmarks/*.svg` under `out`, and pages of their own for the runs of ranking and of
    serving.

    The run with the most methods is the table of a data set. Each other run, with other settings or another seed, is a
    row of its variants. What was read is kept as `benchmarks/*.json`, which can be given again. Returns the page, or
    another where there is none. Raises `UnreadableInput`.
    """
    if len({name_of(path) for path in runs}) < len(runs):
        raise UnreadableInput(f"two of {', '.join(map(str, runs))} have one name and would be kept as one; rename one")
    read = {name_of(path): read_run(path) for path in runs}
    keep(read, out / PLOTS)
    kinds: dict[str, list[Run]] = {}
    for run in read.values():
        kinds.setdefault(run.get("kind", RETRIEVAL), []).append(run)
    pages = [write(kinds[kind], out) for kind, write in WRITERS.items() if kind in kinds]
    return pages[0]


def write_retrieval(runs: Sequence[Run], out: Path) -> Path:
    """Write `benchmarks.md` under `out`, and the plot of each data set."""
    by_dataset: dict[str, list[Run]] = {}
    for run in runs:
        by_dataset.setdefault(run["dataset"], []).append(run)
    for name, same in by_dataset.items():
        same.sort(key=lambda run: -len(run["methods"]))  # of equals, the first that was given
        if is_plotted(same[0]):
            plot(same[0], out / PLOTS / f"{name}.svg")
    page = out / PAGE
    page.write_text("\n".join([INTRODUCTION, *(section(run, others) for run, *others in by_dataset.values())]))
    return page


def name_of(path: Path) -> str:
    """What a run is kept as: the name of its folder, or of the file that it was kept in."""
    return path.stem if path.suffix == KEPT else path.name


def keep(read: Mapping[str, Run], into: Path) -> None:
    """Each run's figures; its raw outputs contain user ids and stay where they are."""
    into.mkdir(parents=True, exist_ok=True)
    for name, run in read.items():
        (into / f"{name}{KEPT}").write_text(json.dumps(run, indent=1) + "\n")


def write_ranking(runs: Sequence[Run], out: Path) -> Path:
    """Write `benchmarks-ranking.md` under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / ranking.PAGE).write_text(ranking.page(runs))
    return out / ranking.PAGE


def write_serving(runs: Sequence[Run], out: Path) -> Path:
    """Write `benchmarks-serving.md` under `out`, and the plot of the first run."""
    for first in [run for run in runs if "loads" in run][:1]:
        serving.plot(first, out / PLOTS / serving.PLOT)
    (out / serving.PAGE).write_text(serving.page(runs, PLOTS))
    return out / serving.PAGE


WRITERS: Mapping[str, Callable[[Sequence[Run], Path], Path]] = {
    RETRIEVAL: write_retrieval,
    "ranking": write_ranking,
    SERVING: write_serving,
}
"""One page for each kind of run, in the order of importance."""


def read_run(path: Path) -> dict[str, Any]:
    """The `metrics.json` of a comparison's folder, or one that was kept. Raises `UnreadableInput`."""
    path = path if path.suffix == KEPT else path / METRICS
    if not path.exists():
        raise UnreadableInput(f"{path}: no such file; give the --out folder of `tastefeed bench retrieval --data …`")
    run: dict[str, Any] = json.loads(path.read_text())
    if "methods" not in run and run.get("kind") != SERVING:
        raise UnreadableInput(f"{path}: holds no comparison; run `tastefeed bench retrieval` with --data")
    return run


def section(run: Run, variants: Sequence[Run] = ()) -> str:
    """One data set."""
    counts = ", ".join(f"{count:,} {name}" for name, count in run["counts"].items())
    parts = [
        f"## {run['dataset']}",
        f"{counts}. Protocol: {run['protocol']}.",
        markdown(quality_table(run)),
        f"![Quality and cost on {run['dataset']}]({PLOTS}/{run['dataset']}.svg)" if is_plotted(run) else "",
        "\n".join(f"- {sentence}" for sentence in sentences(run)),
        markdown(cost_table(run)),
        markdown(search_table(run)),
        conditions(run),
        variants_part([run, *variants]) if variants else "",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def variants_part(runs: Sequence[Run]) -> str:
    """Ours as it is, and with other settings or another seed, with the commands of the others."""
    commands = "\n".join(f"{_seeded(run)}{run['command']}" for run in runs[1:])
    return f"Variants of `{OURS}`, each a run of its own:\n\n{markdown(variants_table(runs))}\n\n```\n{commands}\n```"


def _seeded(run: Run) -> str:
    usual = Settings.model_fields["seed"].default
    return f"TASTEFEED_SEED={run['seed']} " if run["seed"] != usual else ""


OUR_COLOUR, PEER_COLOUR = "#c8553d", "#7a8b99"
FIXED: dict[Any, Any] = {"svg.hashsalt": "tastefeed", "svg.fonttype": "none"}
"""The same numbers make the same file."""


def is_plotted(run: Mapping[str, Any]) -> bool:
    """Whether there is anything to compare; a single bar shows less than its row in the table."""
    return len(run["methods"]) > 1


def plot(run: Mapping[str, Any], path: Path) -> None:
    """Bars of the tuned metric, best on top, and beside each the seconds of the fit, as one SVG."""
    figures = {name: method["figures"] for name, method in run["methods"].items()}
    ordered = sorted(figures, key=lambda name: figures[name][run["tuned_on"]])
    with mpl.rc_context(FIXED):
        page = Figure(figsize=(10, 0.9 + 0.4 * max(4, len(figures))), layout="constrained")
        quality, cost = page.subplots(1, 2, sharey=True)
        colours = [_colour(name) for name in ordered]
        bars = quality.barh(ordered, [figures[name][run["tuned_on"]] for name in ordered], color=colours)
        quality.bar_label(bars, fmt="%.4f", padding=3)
        quality.set_xlabel(heading(run["tuned_on"]))
        _seconds(cost, {name: figures[name]["fit_seconds"] for name in ordered}, colours)
        for axes in (quality, cost):
            axes.margins(x=0.2)
            axes.spines[["top", "right"]].set_visible(False)
        page.savefig(path, metadata={"Date": None})


def _seconds(axes: Axes, of: Mapping[str, float], colours: Sequence[str]) -> None:
    axes.scatter(list(of.values()), list(of), color=colours)
    for name, seconds in of.items():
        text = f"{seconds:,.1f}" if seconds >= 1 else f"{seconds:.2g}"
        axes.annotate(text, (seconds, name), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(left=False)
    axes.set_xlabel("Seconds of the final fit")


def _colour(name: str) -> str:
    return OUR_COLOUR if name == OURS else PEER_COLOUR
