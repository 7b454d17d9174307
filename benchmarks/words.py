"""What a comparison says in words, and first of all where we do not win."""

from collections.abc import Mapping
from typing import Any

from benchmarks.methods import OURS
from benchmarks.published import beside_published
from evaluation.metrics_tables import heading

Found = Mapping[str, Any]


def sentences(run: Found) -> list[str]:
    """What others published; losses, then what cannot be told apart, then wins; then who was left out and why."""
    ours = run.get("ours", OURS)
    if ours not in run["methods"]:
        return [f"`{ours}` was not in this run: nothing is said of it.", *_skipped(run)]
    figures = run["methods"][ours].get("figures", {})
    published = beside_published(run.get("dataset", ""), ours, figures) if run.get("kind") != "ranking" else []
    gains = {name: run["gains"][name] for name in run["methods"] if name != ours}
    told = {
        kind: [text for name, gain in gains.items() if (text := tell(name, gain, run["k"], ours))]
        for kind, tell in KINDS
    }
    floor = below_floor(ours, run["methods"][ours].get("chosen", {}))
    return [*published, *floor, *(text for texts in told.values() for text in texts), *_skipped(run)]


def below_floor(ours: str, chosen: Found) -> list[str]:
    """The baselines that validated better than the selected encoder, in one sentence; none where there are none."""
    selection = chosen.get("selection") or {}
    beaten_by = {name: selection["baselines"][name] for name in selection.get("beaten_by", ())}
    if not beaten_by:
        return []
    reached = selection["encoders"][selection["selected"]]
    others = " and ".join(f"`{name}` {ndcg:.4f}" for name, ndcg in beaten_by.items())
    return [f"**We do not win on validation**: the selected encoder of `{ours}` has NDCG {reached:.4f}, {others}."]


def losses(name: str, gain: Found, k: int, ours: str) -> str:
    """Where the whole interval is below zero."""
    lost = {metric: gain[metric] for metric in _shown(k) if gain[metric]["high"] < 0}
    return f"**We do not win**: `{ours}` is below `{name}` in {_list(lost)}." if lost else ""


def ties(name: str, gain: Found, k: int, ours: str) -> str:
    """Where the interval holds zero."""
    even = {metric: gain[metric] for metric in _shown(k) if gain[metric]["low"] <= 0 <= gain[metric]["high"]}
    return f"**We do not win**: these users cannot tell `{ours}` from `{name}` in {_list(even)}." if even else ""


def wins(name: str, gain: Found, k: int, ours: str) -> str:
    """Where the whole interval is above zero."""
    won = {metric: gain[metric] for metric in _shown(k) if gain[metric]["low"] > 0}
    return f"`{ours}` is above `{name}` in {_list(won)}." if won else ""


KINDS = (("losses", losses), ("ties", ties), ("wins", wins))


def _shown(k: int) -> tuple[str, str]:
    return f"recall_at_{k}", f"ndcg_at_{k}"


def _list(intervals: Found) -> str:
    return " and ".join(
        f"{heading(metric)} by {each['mean']:+.4f} [{each['low']:+.4f}, {each['high']:+.4f}]"
        for metric, each in intervals.items()
    )


def _skipped(run: Found) -> list[str]:
    return [f"`{name}` was left out: {reason}." for name, reason in run["skipped"].items()]
