"""The page and `metrics.json` of the benchmark of impressions."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.impression_benchmark import CURVES, Change, ImpressionResults
from benchmarks.impression_simulation import Assumptions
from benchmarks.open_bandit import Estimate
from benchmarks.position_report import lake_section, policy_section
from contracts.atomic_files import replace_file
from evaluation import markdown
from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig

PAGE, METRICS = "benchmarks-impressions.md", "metrics.json"
INTRODUCTION = """# Benchmark of impressions

`tastefeed bench impressions` makes this page. It measures what three uses of impressions cost and gain: fatigue, the
position of an impression, and exploration. The shipped code makes the pages of the simulation. Users and clicks are
simulated, because no public data set of this size has repeated impressions of one user. Changes are in the clicks of
a user, relative to the first row or to no slots, with 95 % bootstrap intervals over users. They hold for these
assumptions only: measure your own feed before you change a setting.
"""
FATIGUE = """## Fatigue

An earlier impression leaves `repeat_appeal` of an item's appeal; 1 is no fatigue at all. A row takes a share of the
relevance for each impression, and leaves an item out at the limit. The shipped setting is in bold. It loses where users
never tire, because it shows less relevant items, and gains where they do."""
POSITIONS = """## Positions

Each night, the ranker corrects the score of an item by its clicks over the expected ones. Without positions, an
impression far down counts as much as one on top. With positions, it counts by the attention of its place. The
correlation is that of the last correction with the ranker's true error, over items."""
EXPLORATION = """## Exploration

Here, `repeat_appeal` and `examination` are as assumed above. The ranker has no estimate of the quality of a fifth of
the items, and corrects it each night, with positions. Some places of each page of ten are explored. Fatigue
explores too: it leads to items that were not shown."""
LOGS = """## Open Bandit logs

Clicks per thousand impressions, with 95 % intervals, in the logs of two campaigns. The estimates by inverse propensity
use the logged propensities and are normalized by their mean weight. With some fifty clicks, the intervals are wide."""


def write_report(results: ImpressionResults, out: Path, command: str) -> Path:
    """Write `metrics.json` and the page under `out`; returns the path of the page. `command` made the results."""
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / METRICS, (json.dumps(document_of(results, command), indent=1) + "\n").encode())
    replace_file(out / PAGE, page_of(results, command).encode())
    return out / PAGE


def document_of(results: ImpressionResults, command: str) -> dict[str, Any]:
    """What `metrics.json` holds."""
    return {
        "kind": "impressions",
        "command": command,
        "assumptions": results.assumptions.model_dump(),
        "fatigue": [asdict(each) for each in results.fatigue],
        "positions": results.positions,
        "exploration": results.exploration,
        "open_bandit": [asdict(each) for each in results.logged],
        "reranker_positions": [asdict(each) for each in results.reranked],
        "policies": [asdict(each) for each in results.policies],
    }


def page_of(results: ImpressionResults, command: str) -> str:
    """The page, as Markdown."""
    fatigue = changes_table(results.fatigue, "discount and limit")
    parts = [
        INTRODUCTION + "\n" + assumed(results.assumptions) + f"\n\n```\n{command}\n```",
        f"{FATIGUE}\n\n{markdown(fatigue, marked=False)}",
        f"{POSITIONS}\n\n{markdown(pl.DataFrame(results.positions), marked=False)}",
        *([lake_section(results.reranked, results.of_lake)] if results.reranked else []),
        f"{EXPLORATION}\n\n{markdown(pl.DataFrame(results.exploration), marked=False)}",
    ]
    if results.logged:
        parts += [f"{LOGS}\n\n{markdown(logged_table(results.logged), marked=False)}", policy_section(results.policies)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def assumed(assumptions: Assumptions) -> str:
    """The assumptions as a list."""
    fields = "\n".join(f"- `{name}` {getattr(assumptions, name):g}: {field.description}" for name, field in FIELDS)
    return f"{FORMULA}\n\n{fields}"


FORMULA = """A user clicks an item at place `p`, from 0, after `n` earlier impressions with probability
`appeal * (1 + p) ** -examination * repeat_appeal ** n`. A clicked item is not shown again."""
FIELDS = tuple(Assumptions.model_fields.items())


def changes_table(changes: Sequence[Change], first: str) -> pl.DataFrame:
    """A row for each arm, a column for each scenario; the shipped fatigue in bold."""
    rows: dict[str, dict[str, str]] = {}
    for each in changes:
        shown = f"{each.clicks:.1f} clicks" if each.change.low == each.change.high == 0 else each.relative
        rows.setdefault(each.arm, {first: _bold(each.arm)})[each.scenario] = shown
    return pl.DataFrame(list(rows.values()))


def _bold(arm: str) -> str:
    return f"**{arm}**" if CURVES.get(arm) == FatigueConfig(discount=DEFAULT_FATIGUE.discount, limit=10) else arm


def logged_table(logged: Sequence[Estimate]) -> pl.DataFrame:
    """One row for each estimate."""
    return pl.DataFrame(
        [
            {
                "campaign": each.campaign,
                "estimate": each.name,
                "impressions": f"{each.impressions:,}",
                "clicks": each.clicks,
                "clicks per 1,000": f"{each.rate.mean:.2f} [{each.rate.low:.2f}, {each.rate.high:.2f}]",
            }
            for each in logged
        ]
    )
