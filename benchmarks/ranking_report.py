"""The page of the ranking benchmark, made of the metrics.json of its runs and nothing else."""

from collections.abc import Sequence
from math import inf, isinf

import polars as pl

from benchmarks.method_registry import OURS
from benchmarks.summary_text import Run, conditions, cost_table, gain_over, search_table, sentences
from evaluation import markdown

PAGE = "benchmarks-ranking.md"
BEATEN = (OURS, "ials", "item_knn")
"""What the re-ranker must beat by the target: retrieval alone, and the two usual peers."""
INTRODUCTION = """# Benchmark of ranking

`tastefeed bench report` makes this page from the `metrics.json` of the runs below.

- `two_tower` is the retrieval that the night ships. The night's own stage trains it at every cutoff.
- `final` is the list that the night ships: its Spark features, candidates, LightGBM re-ranker and slates, with the
  shipped settings but for what the command sets. The re-ranker reads item-transition and co-occurrence features where
  the night's own validation selects them.
- `night` is the same without these features.
- Peers get the pairs of user and item. They are tuned on the validation window with the trials in the table; the first
  trial is their defaults.

Intervals are paired bootstraps over users, 95 %. The best of a column is bold. In MovieLens, the order of ratings is
largely the order in which its site asked for them: a gain from order is no promise for a feed.

The costs of `two_tower` are those of the night's stage over all cutoffs. The costs of the re-rankers include everything
from the import on. The three share one process, and its memory includes Spark's. Their validation users also train the
re-ranker. Times are wall-clock and include interference from other processes.
"""


def page(runs: Sequence[Run]) -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *map(section, runs)])


def section(run: Run) -> str:
    """One data set: the protocol, the table, where we do not win, what it cost, and how to run it again."""
    counts = ", ".join(f"{count:,} {name}" for name, count in run["counts"].items())
    users = f"{run['methods'][run['ours']]['users']:,} users evaluated"
    parts = [
        f"## {run['dataset']}",
        f"{counts}; {users}. Protocol: {run['protocol']}.",
        markdown(ranking_table(run)),
        "\n".join(f"- {sentence}" for sentence in [*verdicts(run), *sentences(run)]),
        markdown(cost_table(run)),
        markdown(search_table(run)),
        conditions(run),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def ranking_table(run: Run) -> pl.DataFrame:
    """One row a method, best first: its quality, and the final ranking minus it."""
    k = run["k"]
    names = [f"{metric}_at_{k}" for metric in ("ndcg", "hit_rate", "recall")]
    rows = [
        {"method": name, "trials": method["trials"], **{each: method["figures"][each] for each in names}}
        | {f"final minus it, NDCG@{k}": gain_over(run, name), "in %": percent(run, name)}
        for name, method in run["methods"].items()
    ]
    return pl.DataFrame(rows).sort(run["tuned_on"], descending=True)


def percent(run: Run, name: str) -> str:
    """How much more of the tuned metric the final ranking has than a method; empty for itself, and beside nothing."""
    ratio = _ratio(run, name)
    return "" if name == run["ours"] or isinf(ratio) else f"{100 * (ratio - 1):+.1f}"


def verdicts(run: Run) -> list[str]:
    """Whether the target is reached over each of those to be beaten; misses first."""
    texts = [verdict(run, name) for name in BEATEN if name in run["methods"]]
    return sorted(texts, key=lambda text: not text.startswith("**Not reached**"))


def verdict(run: Run, name: str) -> str:
    """One of them: the gain in per cent, and whether its interval is above zero."""
    reached = _ratio(run, name) >= run["target"] and run["gains"][name][run["tuned_on"]]["low"] > 0
    wanted = f"{100 * (run['target'] - 1):.0f} % and an interval above zero wanted"
    head = "Reached" if reached else "**Not reached**"
    return f"{head} over `{name}`: {percent(run, name)} % NDCG@{run['k']}, {gain_over(run, name)}; {wanted}."


def _ratio(run: Run, name: str) -> float:
    ours, other = (run["methods"][each]["figures"][run["tuned_on"]] for each in (run["ours"], name))
    return float(ours / other) if other else inf
