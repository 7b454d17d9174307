"""The plots of a comparison: quality beside its cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.methods import OURS
from evaluation.metrics_tables import heading

OUR_COLOUR, PEER_COLOUR = "#c8553d", "#7a8b99"
FIXED: dict[Any, Any] = {"svg.hashsalt": "tastefeed", "svg.fonttype": "none"}
"""The same numbers make the same file."""


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
        axes.annotate(f"{seconds:,.1f}", (seconds, name), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(left=False)
    axes.set_xlabel("Seconds of the final fit")


def _colour(name: str) -> str:
    return OUR_COLOUR if name == OURS else PEER_COLOUR
