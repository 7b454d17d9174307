"""The best figures that others have published on the splits of the retrieval benchmark."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.metrics_tables import heading

BARS, DROSS = "BARS leaderboard", "Klenitskiy & Vasilev 2023"
HSTU = "HSTU-large in RecTools, which reads the target's own timestamp; other time ties"
PUBLISHED: Mapping[str, Mapping[str, Sequence[tuple[float, str]]]] = {
    "gowalla": {
        "recall_at_20": [(0.1872, f"SimpleX, {BARS}"), (0.1941, "ChebyCF, Kim et al. 2025")],
        "ndcg_at_20": [(0.1580, f"UltraGCN, {BARS}"), (0.1617, "NESCL, Sun et al. 2024")],
    },
    "ml-1m": {
        "hit_rate_at_10": [(0.3159, f"SASRec with 3,000 negatives, {DROSS}"), (0.3642, HSTU)],
        "ndcg_at_10": [(0.1857, f"SASRec with 3,000 negatives, {DROSS}"), (0.2164, HSTU)],
    },
}
"""Of each metric the best of a leaderboard and the best known to us, where they differ."""


def beside_published(dataset: str, ours: str, figures: Mapping[str, Any]) -> list[str]:
    """What there is to say of our figures beside these, losses first; there is no interval, for we have only theirs."""
    known = PUBLISHED.get(dataset, {})
    said = [
        _beside(metric, theirs, who, ours, figures[metric])
        for metric, all_of in known.items()
        for theirs, who in all_of
    ]
    return [sentence for _, sentence in sorted(said)]


def _beside(metric: str, theirs: float, who: str, ours: str, figure: float) -> tuple[bool, str]:
    won = figure > theirs
    start = f"`{ours}` is above" if won else f"**We do not win**: `{ours}` is not above"
    return won, f"{start} the published {heading(metric)} of {theirs:.4f} ({who}), with {figure:.4f}."
