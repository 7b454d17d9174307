"""How a model learned, as plots in its run."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

COLOUR = "#c8553d"


def plot_curves(panels: Mapping[str, Sequence[float]], step: str) -> Figure:
    """One panel a curve, one below the other; `step` says what the common axis counts."""
    page = Figure(figsize=(8, 2.4 * len(panels)), layout="constrained")
    rows = page.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, panels.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, color=COLOUR, marker="." if len(values) < 100 else "")
        axes.set_ylabel(name.replace("_", " "))
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel(step)
    return page
