"""The parts of the page of impressions about positions: re-rankers on simulated clicks, and policies on real logs."""

from collections.abc import Sequence

import polars as pl

from benchmarks.bandit_policies import PolicyEstimate
from benchmarks.position_simulation import PositionAssumptions, PositionOutcome
from evaluation import markdown
from evaluation.bootstrap import Interval

EXAMINATIONS = (0.0, 0.5, 1.0)
LAKE = """## Positions in the re-ranker

Re-rankers are trained by the shipped code on pages and clicks that are simulated over the candidates of a lake's last
night. A user clicks an item at place `p`, from 0, with probability `appeal * (1 + p) ** -examination`. The appeal
follows the score of a re-ranker with all real labels. The pages show the popular items of seven days first, with
noise, so position and popularity go together. The last label week measures NDCG@10 of the true appeals; the weeks
before it train. Rows are the settings of [the night](night.md#impressions-in-the-re-ranker): clicks without
impressions, impressions without places (`off`), an addend for each place (`bias`), and inverse propensity (`ipw`).
Differences are those to `off`, with 95 % bootstrap intervals over users. Without any bias, examination is 0."""
POLICIES = """## Policies learned with positions from Open Bandit logs

A policy draws each item in proportion to a power of the click rate that it has learned. It learns from the first half
of the log of `bts`, in order of time; the next tenth chooses the power and the smoothing. The later log of the random
policy estimates its clicks per thousand impressions: by inverse propensity (IPS), normalized by the mean weight
(SNIPS), and doubly robust (DR). The last column is the difference of DR to the policy that learns from clicks."""


def lake_section(outcomes: Sequence[PositionOutcome], assumptions: PositionAssumptions) -> str:
    """The assumptions, and a row for each way to learn."""
    fields = PositionAssumptions.model_fields.items()
    assumed = "\n".join(f"- `{name}` {getattr(assumptions, name):g}: {field.description}" for name, field in fields)
    rows: dict[str, dict[str, str]] = {}
    for each in outcomes:
        row = rows.setdefault(
            each.learns, {"learns from": f"`{each.learns}`" if " " not in each.learns else each.learns}
        )
        gain = "" if each.learns == "off" else f", {each.gain}"
        row[f"NDCG@10, examination {each.examination:g}"] = f"{each.ndcg:.3f}{gain}"
    return f"{LAKE}\n\n{assumed}\n\n{markdown(pl.DataFrame(list(rows.values())), marked=False)}"


def policy_section(estimates: Sequence[PolicyEstimate]) -> str:
    """A row for each policy."""
    rows = [
        {
            "campaign": each.campaign,
            "learns from": each.learns,
            "IPS": _rate(each.ips),
            "SNIPS": _rate(each.snips),
            "DR": _rate(each.doubly_robust),
            "DR, difference": "" if each.learns == "clicks" else str(each.gain),
        }
        for each in estimates
    ]
    return f"{POLICIES}\n\n{markdown(pl.DataFrame(rows), marked=False)}"


def _rate(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
