"""The result of a comparison as sentences and tables. Losses come first."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from benchmarks.method_registry import OURS
from evaluation.metrics_tables import heading

Run = Mapping[str, Any]
"""A run's `metrics.json`."""


def sentences(run: Run) -> list[str]:
    """Published figures, losses, ties and wins, then the methods that were left out and why."""
    ours = run.get("ours", OURS)
    if ours not in run["methods"]:
        return [f"`{ours}` was not in this run: there is no result for it.", *_skipped(run)]
    figures = run["methods"][ours].get("figures", {})
    published = beside_published(run.get("dataset", ""), ours, figures) if run.get("kind") != "ranking" else []
    gains = {name: run["gains"][name] for name in run["methods"] if name != ours}
    results = {
        kind: [text for name, gain in gains.items() if (text := sentence(name, gain, run["k"], ours))]
        for kind, sentence in KINDS
    }
    floor = below_floor(ours, run["methods"][ours].get("chosen", {}))
    return [*published, *floor, *(text for texts in results.values() for text in texts), *_skipped(run)]


def below_floor(ours: str, chosen: Run) -> list[str]:
    """The baselines that validated better than the selected encoder, in one sentence; none where there are none."""
    selection = chosen.get("selection") or {}
    beaten_by = {name: selection["baselines"][name] for name in selection.get("beaten_by", ())}
    if not beaten_by:
        return []
    reached = selection["encoders"][selection["selected"]]
    others = " and ".join(f"`{name}` {ndcg:.4f}" for name, ndcg in beaten_by.items())
    return [f"**We do not win on validation**: the selected encoder of `{ours}` has NDCG {reached:.4f}, {others}."]


def losses(name: str, gain: Run, k: int, ours: str) -> str:
    """Where the whole interval is below zero."""
    lost = {metric: gain[metric] for metric in _shown(k) if gain[metric]["high"] < 0}
    return f"**We do not win**: `{ours}` is below `{name}` in {_list(lost)}." if lost else ""


def ties(name: str, gain: Run, k: int, ours: str) -> str:
    """Where the interval holds zero."""
    even = {metric: gain[metric] for metric in _shown(k) if gain[metric]["low"] <= 0 <= gain[metric]["high"]}
    return f"**We do not win**: these users cannot distinguish `{ours}` from `{name}` in {_list(even)}." if even else ""


def wins(name: str, gain: Run, k: int, ours: str) -> str:
    """Where the whole interval is above zero."""
    won = {metric: gain[metric] for metric in _shown(k) if gain[metric]["low"] > 0}
    return f"`{ours}` is above `{name}` in {_list(won)}." if won else ""


KINDS = (("losses", losses), ("ties", ties), ("wins", wins))


def _shown(k: int) -> tuple[str, str]:
    return f"recall_at_{k}", f"ndcg_at_{k}"


def _list(intervals: Run) -> str:
    return " and ".join(
        f"{heading(metric)} by {each['mean']:+.4f} [{each['low']:+.4f}, {each['high']:+.4f}]"
        for metric, each in intervals.items()
    )


def _skipped(run: Run) -> list[str]:
    return [f"`{name}` was left out: {reason}." for name, reason in run["skipped"].items()]


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
"""The best figure of a leaderboard for each metric, and the best published one that we are aware of."""


def beside_published(dataset: str, ours: str, figures: Mapping[str, Any]) -> list[str]:
    """Our figures beside the published ones, losses first. Published figures have no interval."""
    published = PUBLISHED.get(dataset, {})
    results = [
        _beside(metric, theirs, who, ours, figures[metric])
        for metric, all_of in published.items()
        for theirs, who in all_of
    ]
    return [sentence for _, sentence in sorted(results)]


def _beside(metric: str, theirs: float, who: str, ours: str, figure: float) -> tuple[bool, str]:
    won = figure > theirs
    start = f"`{ours}` is above" if won else f"**We do not win**: `{ours}` is not above"
    return won, f"{start} the published {heading(metric)} of {theirs:.4f} ({who}), with {figure:.4f}."


def quality_table(run: Run) -> pl.DataFrame:
    """One row a method, best first: its quality, and ours minus it."""
    names = [f"{metric}_at_{run['k']}" for metric in ("recall", "ndcg", "hit_rate", "mrr", "coverage")]
    rows = [
        {"method": name, "trials": method["trials"], **{each: method["figures"][each] for each in names}}
        | {f"ours minus it, NDCG@{run['k']}": gain_over(run, name)}
        for name, method in run["methods"].items()
    ]
    return pl.DataFrame(rows).sort(run["tuned_on"], descending=True)


def gain_over(run: Run, name: str) -> str:
    """`+0.012 [+0.010, +0.014]`, empty for ours."""
    gain = run["gains"].get(name, {}).get(run["tuned_on"])
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]" if gain else ""


def cost_table(run: Run) -> pl.DataFrame:
    """One row a method: what it costs."""
    figures = {name: method["figures"] for name, method in run["methods"].items()}
    return pl.DataFrame(
        {
            "method": list(figures),
            "fit, s": [f"{each['fit_seconds']:,.1f}" for each in figures.values()],
            "peak memory, MB": [f"{each['peak_rss_mb']:,.0f}" for each in figures.values()],
            "of it at start, MB": [f"{each['start_rss_mb']:,.0f}" for each in figures.values()],
            "lists a second": [f"{each['users_per_second']:,.0f}" for each in figures.values()],
        }
    )


def search_table(run: Run) -> pl.DataFrame:
    """One row a method: what the search chose."""
    methods = run["methods"]
    return pl.DataFrame(
        {
            "method": list(methods),
            f"validation NDCG@{run['k']}": [method["validation"] for method in methods.values()],
            "chosen": [
                ", ".join(f"{key} {value}" for key, value in (*chosen(method), *chosen_in_fit(method)))
                for method in methods.values()
            ],
        },
        schema_overrides={f"validation NDCG@{run['k']}": pl.Float64},
    )


def chosen(method: Run) -> list[tuple[str, Any]]:
    """What was tuned or fixed, in the order of the config."""
    return [(key, _short(value)) for key, value in method["config"].items() if key in method["params"]]


def chosen_in_fit(method: Run) -> list[tuple[str, Any]]:
    """The encoder that the fit selected, and the validation NDCG of what it tried; of old runs, settings."""
    flat: list[tuple[str, Any]] = []
    if selection := method.get("chosen", {}).get("selection"):
        baselines = {f"baseline {name}": ndcg for name, ndcg in selection["baselines"].items()}
        reached = selection["encoders"] | baselines  # iALS is an encoder and a baseline
        return [("encoder", selection["selected"]), *((name, _short(ndcg)) for name, ndcg in reached.items())]
    for key, value in method.get("chosen", {}).items():
        flat += (
            [(f"{key}.{each}", _short(of)) for each, of in value.items()]
            if isinstance(value, dict)
            else [(key, _short(value))]
        )
    return flat


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return "/".join(str(_short(each)) for each in value)
    return f"{value:.4g}" if isinstance(value, float) else value


def conditions(run: Run) -> str:
    """How to run it again, and on what it ran."""
    machine, versions = run["machine"], ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    cores = f"{machine['cores']} core{'s' * (machine['cores'] > 1)}"
    threads = run["threads"] or f"all {machine['cores']}"
    precision = f" training in {machine['training']}," if "training" in machine else ""  # old runs lack it
    return (
        f"```\n{run['command']}\n```\n\n"
        f"Seed {run['seed']}, {run['trials']} trials a method, threads: {threads} (BPR one). {versions}. "
        f"{cores}, {machine['memory_gb']} GB of memory,{precision} {machine['system']}, "
        f"Python {machine['python']}."
    )


def variants_table(runs: Sequence[Run]) -> pl.DataFrame:
    """One row a run that ours took part in: what was set, and what came of it."""
    ours = [(run, run["methods"][OURS]) for run in runs if OURS in run["methods"]]
    return pl.DataFrame(
        {
            "set": [", ".join(f"{name} {value}" for name, value in chosen(method)) or "defaults" for _, method in ours],
            "seed": [run["seed"] for run, _ in ours],
            "precision": [run["machine"].get("training", "") for run, _ in ours],  # old runs lack it
            **{
                name: [method["figures"][f"{name}_at_{run['k']}"] for run, method in ours]
                for name in ("recall", "ndcg", "coverage")
            },
            "fit, s": [f"{method['figures']['fit_seconds']:,.1f}" for _, method in ours],
            "peak memory, MB": [f"{method['figures']['peak_rss_mb']:,.0f}" for _, method in ours],
        }
    )
