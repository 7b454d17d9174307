"""The best figures that others have published on the splits of the retrieval benchmark."""

from collections.abc import Mapping
from typing import Any

from tastefeed.evaluation.report import heading

BARS, DROSS = "BARS leaderboard", "Klenitskiy & Vasilev 2023"
PUBLISHED: Mapping[str, Mapping[str, tuple[float, str]]] = {
    "gowalla": {"recall_at_20": (0.1872, f"SimpleX, {BARS}"), "ndcg_at_20": (0.1580, f"UltraGCN, {BARS}")},
    "ml-1m": {
        "hit_rate_at_10": (0.3159, f"SASRec with 3,000 negatives, {DROSS}"),
        "ndcg_at_10": (0.1857, f"SASRec with 3,000 negatives, {DROSS}"),
    },
}


def beside_published(dataset: str, ours: str, figures: Mapping[str, Any]) -> list[str]:
    """What there is to say of our figures beside these, losses first; there is no interval, for we have only theirs."""
    said = []
    for metric, (theirs, who) in PUBLISHED.get(dataset, {}).items():
        won, name = figures[metric] > theirs, heading(metric)
        start = f"`{ours}` is above" if won else f"**We do not win**: `{ours}` is not above"
        said.append(
            (won, f"{start} the best published {name} known to us, {theirs:.4f} ({who}), with {figures[metric]:.4f}.")
        )
    return [sentence for _, sentence in sorted(said, key=lambda each: each[0])]
