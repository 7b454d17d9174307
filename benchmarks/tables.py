"""Tables of a comparison, made of its `metrics.json`: quality, costs, searches, and variants of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from benchmarks.methods import OURS

Found = Mapping[str, Any]
"""A run's `metrics.json`."""


def quality_table(run: Found) -> pl.DataFrame:
    """One row a method, best first: its quality, and ours minus it."""
    names = [f"{metric}_at_{run['k']}" for metric in ("recall", "ndcg", "hit_rate", "mrr", "coverage")]
    rows = [
        {"method": name, "trials": method["trials"], **{each: method["figures"][each] for each in names}}
        | {f"ours minus it, NDCG@{run['k']}": gain_over(run, name)}
        for name, method in run["methods"].items()
    ]
    return pl.DataFrame(rows).sort(run["tuned_on"], descending=True)


def gain_over(run: Found, name: str) -> str:
    """`+0.012 [+0.010, +0.014]`, empty for ours."""
    gain = run["gains"].get(name, {}).get(run["tuned_on"])
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]" if gain else ""


def cost_table(run: Found) -> pl.DataFrame:
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


def search_table(run: Found) -> pl.DataFrame:
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


def chosen(method: Found) -> list[tuple[str, Any]]:
    """What was tuned or fixed, in the order of the config."""
    return [(key, _short(value)) for key, value in method["config"].items() if key in method["params"]]


def chosen_in_fit(method: Found) -> list[tuple[str, Any]]:
    """The encoder that the fit selected, and the validation NDCG of what it tried; of old runs, settings."""
    flat: list[tuple[str, Any]] = []
    if selection := method.get("chosen", {}).get("selection"):
        reached = selection["encoders"] | selection["baselines"]
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


def conditions(run: Found) -> str:
    """How to run it again, and on what it ran."""
    machine, versions = run["machine"], ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    threads = run["threads"] or f"all {machine['cores']}"
    precision = f" training in {machine['training']}," if "training" in machine else ""  # old runs lack it
    return (
        f"```\n{run['command']}\n```\n\n"
        f"Seed {run['seed']}, {run['trials']} trials a method, threads: {threads} (BPR one). {versions}. "
        f"{machine['cores']} cores, {machine['memory_gb']} GB of memory,{precision} {machine['system']}, "
        f"Python {machine['python']}."
    )


def variants_table(runs: Sequence[Found]) -> pl.DataFrame:
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
