"""The plots of a comparison: quality beside its cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tastefeed.bench.methods import OURS
from tastefeed.evaluation.report import heading

OUR_COLOUR, PEER_COLOUR = "#c8553d", "#7a8b99"
FIXED: dict[Any, Any] = {"svg.hashsalt": "tastefeed", "svg.fonttype": "none"}
"""The same numbers make the same file."""


def plot(run: Mapping[str, Any], path: Path) -> None:
    """Bars of the tuned metric, and the metric over the seconds of the fit, as one SVG."""
    figures = {name: method["figures"] for name, method in run["methods"].items()}
    with mpl.rc_context(FIXED):
        page = Figure(figsize=(10, 0.9 + 0.4 * max(4, len(figures))), layout="constrained")
        quality, cost = page.subplots(1, 2)
        _bars(quality, figures, run["tuned_on"])
        _points(cost, figures, run["tuned_on"])
        page.savefig(path, metadata={"Date": None})


def _bars(axes: Axes, figures: Mapping[str, Any], metric: str) -> None:
    ordered = sorted(figures, key=lambda name: figures[name][metric])
    bars = axes.barh(ordered, [figures[name][metric] for name in ordered], color=[_colour(name) for name in ordered])
    axes.bar_label(bars, fmt="%.4f", padding=3)
    axes.margins(x=0.2)
    axes.set_xlabel(heading(metric))
    axes.spines[["top", "right"]].set_visible(False)


def _points(axes: Axes, figures: Mapping[str, Any], metric: str) -> None:
    for place, name in enumerate(sorted(figures, key=lambda name: figures[name]["fit_seconds"])):
        at = figures[name]["fit_seconds"], figures[name][metric]
        axes.scatter(*at, color=_colour(name))
        below = place % 2 == 1  # in turns, or the names of neighbours lie over each other
        axes.annotate(name, at, xytext=(5, -12 if below else 4), textcoords="offset points")
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    axes.set_xlabel("Seconds of the final fit")
    axes.set_ylabel(heading(metric))
    axes.spines[["top", "right"]].set_visible(False)


def _colour(name: str) -> str:
    return OUR_COLOUR if name == OURS else PEER_COLOUR
