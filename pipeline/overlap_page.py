"""`personalization.md`: tables and plots of what lists that differ cost, and of the lift of similar items."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation import markdown
from evaluation.results import FIRST_SHARE, NEWEST_FIRST, OVERLAP
from pipeline.evaluation_lists import K
from pipeline.overlap_tradeoff import LARGEST_LOSS, LARGEST_OVERLAP, Outcome, held_out_reasons, outcomes, weeks_of
from pipeline.run_context import RunContext
from ranking.reason_calibration import ReasonCurve

FRONTIER_PLOT, REASONS_PLOT = "frontier.svg", "reasons.svg"
MIN_EXPECTED = 5
"""Clicks by chance below which the lift of a bin does not stretch the axis."""
FIXED: dict[Any, Any] = {"svg.hashsalt": "tastefeed", "svg.fonttype": "none"}
"""The same numbers make the same file."""


def frontier_table(rows: Sequence[Outcome]) -> pl.DataFrame:
    """One row a variant."""
    return pl.DataFrame(
        {
            "way": [row.family for row in rows],
            "setting": [_setting(row) for row in rows],
            f"ndcg_at_{K}": [row.ndcg for row in rows],
            "change": [f"{row.change:+.1%}" for row in rows],
            "gain": [str(row.gain) if row.gain else "" for row in rows],
            OVERLAP: [row.overlap for row in rows],
            FIRST_SHARE: [row.first_share for row in rows],
            "aim_reached": [row.reached for row in rows],
        }
    )


def _setting(row: Outcome) -> str:
    setting = f"`{row.setting}`" if row.setting else ""
    return f"{setting} (the default)" if row.default else setting


def reasons_table(curve: ReasonCurve) -> pl.DataFrame:
    """One row a bin of similarity."""
    return pl.DataFrame(
        {
            "similarity_from": [f"{at:.2f}" for at in curve.similarities],
            "clicks": curve.clicks,
            "clicks_by_chance": [f"{expected:.0f}" for expected in curve.expected],
            "lift": [f"{lift:.2f}" for lift in curve.lift],
        }
    )


def write_overlap_page(night: RunContext, folder: Path, command: str) -> None:
    """Write `personalization.md` and its plots from the weeks of a backtest that has run."""
    weeks, ranking = weeks_of(night), night.config.ranking
    curve = held_out_reasons(weeks)
    write_page(
        outcomes(weeks, ranking.slate, seed=night.settings.seed), curve, ranking.reasons.min_lift, folder, command
    )


def write_page(rows: Sequence[Outcome], curve: ReasonCurve, min_lift: float, folder: Path, command: str) -> None:
    """Write the page and its plots; the same numbers make the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(FIXED):
        plot_frontier(rows).savefig(folder / FRONTIER_PLOT, metadata={"Date": None})
        plot_reasons(curve, min_lift).savefig(folder / REASONS_PLOT, metadata={"Date": None})
    parts = [*_differing_lists(rows, command), *_reasons(curve, min_lift)]
    (folder / "personalization.md").write_text("\n\n".join(parts) + "\n")


def _differing_lists(rows: Sequence[Outcome], command: str) -> list[str]:
    return [
        "# Lists that differ between users",
        f"`{command}` writes this page.",
        f"The aim is an overlap of at most {LARGEST_OVERLAP:.0%}, at a loss of at most {LARGEST_LOSS:.0%} of NDCG@{K} "
        "against lists without a limit. All numbers are means over weeks.",
        f"![NDCG and overlap]({FRONTIER_PLOT})",
        markdown(frontier_table(rows), marked=False).rstrip(),
    ]


def _reasons(curve: ReasonCurve, min_lift: float) -> list[str]:
    threshold = curve.threshold(min_lift)
    return [
        "## Reasons that name an item",
        f"Below a lift of {min_lift:g} the reason is the source. "
        + ("Too few clicks show it." if threshold is None else f"The similarity with that lift is {threshold:.2f}."),
        f"![Lift by similarity]({REASONS_PLOT})",
        markdown(reasons_table(curve), marked=False).rstrip(),
    ]


def plot_frontier(rows: Sequence[Outcome]) -> Figure:
    """NDCG against overlap, a line for each way."""
    page = Figure(figsize=(10, 5), layout="constrained")
    axes = page.subplots()
    for family in dict.fromkeys(row.family for row in rows if row.family != NEWEST_FIRST):
        own = [row for row in rows if row.family == family]
        axes.plot([row.overlap for row in own], [row.ndcg for row in own], marker="o", label=family)
    axes.axvline(LARGEST_OVERLAP, color="grey", linestyle=":", label="the aim: above and to the left")
    axes.axhline(rows[0].ndcg * (1 - LARGEST_LOSS), color="grey", linestyle=":")
    _label(axes, "Mean share of the first 10 items that two users have in common", f"NDCG@{K}")
    page.legend(frameon=False, loc="outside right upper")
    return page


def plot_reasons(curve: ReasonCurve, min_lift: float) -> Figure:
    """Lift against similarity: as counted, larger points for more clicks, and as the nearest curve that never falls."""
    page = Figure(figsize=(8, 4), layout="constrained")
    axes = page.subplots()
    counted = np.divide(curve.clicks, curve.expected, out=np.full(len(curve.clicks), np.nan), where=curve.expected > 0)
    sizes = np.clip(8 * np.sqrt(curve.expected), 8, 200)
    axes.scatter(
        curve.similarities, counted, sizes, color="grey", label="as counted, larger where more clicks are expected"
    )
    axes.step(curve.similarities, curve.lift, where="mid", label="fitted curve that never falls")
    axes.axhline(
        min_lift, color="grey", linestyle=":", label=f"lift of {min_lift:g}, from which a reason names an item"
    )
    axes.set_ylim(0, 1.5 * max(min_lift, *curve.lift[curve.expected >= MIN_EXPECTED], 1))
    _label(axes, "Similarity of an item to the nearest liked one", "Clicks over clicks by chance")
    axes.legend(frameon=False)
    return page


def _label(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
