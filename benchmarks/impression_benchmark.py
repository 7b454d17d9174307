"""`tastefeed bench impressions`: what fatigue, position awareness and exploration cost and gain."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.bandit_policies import policy_estimates
from benchmarks.impression_simulation import NO_FATIGUE, Arm, Assumptions, Outcome, World
from benchmarks.open_bandit import Estimate, estimates
from benchmarks.position_pages import EXAMINATIONS as EXAMINATIONS_OF_LAKE
from benchmarks.position_pages import lake_section, policy_section
from benchmarks.position_simulation import PositionAssumptions, label_weeks, outcomes
from contracts.atomic_files import replace_file
from evaluation import markdown
from evaluation.bootstrap import Interval, paired_interval
from ranking.exploration import ExplorationConfig
from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig

PAGE, METRICS = "benchmarks-impressions.md", "metrics.json"
NOTHING = Arm("without", NO_FATIGUE)
CURVES = {
    f"{discount:.0%}, {'no limit' if not limit else f'limit {limit}'}": FatigueConfig(discount=discount, limit=limit)
    for discount, limit in ((0.0, 10), (0.0, 5), (0.05, 0), (0.1, 10), (0.2, 10), (0.35, 10))
}
REPEAT_APPEALS = (1.0, 0.9, 0.8, 0.5)
EXAMINATIONS = (0.5, 1.0)
SLOTS = (0, 1, 2)
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


@dataclass(frozen=True)
class Change:
    """The clicks of one arm, and how they differ from those of another one."""

    scenario: str
    arm: str
    clicks: float
    change: Interval

    @property
    def relative(self) -> str:
        """As in `+4.1 % [+2.0, +6.1]`."""
        base = self.clicks - self.change.mean
        mean, low, high = (100 * each / base for each in (self.change.mean, self.change.low, self.change.high))
        return f"{mean:+.1f} % [{low:+.1f}, {high:+.1f}]"


def change(scenario: str, arm: str, ours: np.ndarray, theirs: np.ndarray) -> Change:
    """Of clicks per user, [U, sessions]."""
    mine, other = ours.sum(axis=1), theirs.sum(axis=1)
    return Change(scenario, arm, float(mine.mean()), paired_interval(mine, other, resamples=1000))


def fatigue_changes(assumptions: Assumptions) -> list[Change]:
    """Each curve under each loss of appeal, against no fatigue."""
    changes = []
    for appeal in REPEAT_APPEALS:
        world = World(assumptions.model_copy(update={"repeat_appeal": appeal}))
        without = world.run(NOTHING).clicks
        changes.append(change(f"repeat_appeal {appeal:g}", NOTHING.name, without, without))
        for name, curve in CURVES.items():
            changes.append(change(f"repeat_appeal {appeal:g}", name, world.run(Arm(name, curve)).clicks, without))
    return changes


def position_rows(assumptions: Assumptions) -> list[dict[str, object]]:
    """A ranker that learns from clicks, without and with positions, against one that learns nothing."""
    rows: dict[str, dict[str, object]] = {learns: {"ranker learns": learns} for learns in LEARNS}
    for examination in EXAMINATIONS:
        world = World(assumptions.model_copy(update={"examination": examination}))
        outcomes = {learns: world.run(Arm(learns, DEFAULT_FATIGUE, learns=learns)) for learns in LEARNS}
        for learns, outcome in outcomes.items():
            clicks = change("", learns, outcome.clicks, outcomes["nothing"].clicks).relative
            fit = np.corrcoef(outcome.correction, world.item_error)[0, 1] if learns != "nothing" else None
            rows[learns] |= {
                f"clicks, examination {examination:g}": clicks if learns != "nothing" else "",
                f"correlation, examination {examination:g}": None if fit is None else round(float(fit), 3),
            }
    return list(rows.values())


LEARNS = ("nothing", "clicks", "positions")


def exploration_rows(assumptions: Assumptions) -> list[dict[str, object]]:
    """Slots against none: in all sessions, the first half and the last one, and the clicks of explored places."""
    world, rows = World(assumptions), []
    for fatigue in (NO_FATIGUE, DEFAULT_FATIGUE):
        outcomes = {
            slots: world.run(Arm(str(slots), fatigue, ExplorationConfig(slots=slots), learns="positions"))
            for slots in SLOTS
        }
        label = {"fatigue": "off" if fatigue == NO_FATIGUE else "as shipped"}
        rows += [label | _exploration_row(slots, outcome, outcomes[0]) for slots, outcome in outcomes.items()]
    return rows


def _exploration_row(slots: int, outcome: Outcome, without: Outcome) -> dict[str, object]:
    half = outcome.clicks.shape[1] // 2
    parts = {"all": slice(None), "first half": slice(0, half), "last half": slice(half, None)}
    changes = {
        f"clicks, {name}": change("", "", outcome.clicks[:, part], without.clicks[:, part]).relative if slots else ""
        for name, part in parts.items()
    }
    explored_rate = 1000 * outcome.explored_clicks / max(outcome.explored, 1)
    return {
        "slots of ten": slots,
        **changes,
        "clicks on new items": int(outcome.new_clicks),
        "clicks of 1,000 explored places": f"{explored_rate:.0f}" if slots else "",
    }


def measure(out: Path, command: str, *, data: Path | None, lake: str | None = None, assumptions: Assumptions) -> Path:
    """Run everything, and write `metrics.json` and the page under `out`. Raises `UnreadableInput`, and the errors of
    `label_weeks`."""
    logged = estimates(data) if data else []
    policies = policy_estimates(data) if data else []
    of_lake = PositionAssumptions(seed=assumptions.seed)
    reranked = outcomes(label_weeks(lake), EXAMINATIONS_OF_LAKE, of_lake) if lake else []
    fatigue, positions = fatigue_changes(assumptions), position_rows(assumptions)
    exploration = exploration_rows(assumptions)
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "kind": "impressions",
        "command": command,
        "assumptions": assumptions.model_dump(),
        "fatigue": [asdict(each) for each in fatigue],
        "positions": positions,
        "exploration": exploration,
        "open_bandit": [asdict(each) for each in logged],
        "reranker_positions": [asdict(each) for each in reranked],
        "policies": [asdict(each) for each in policies],
    }
    replace_file(out / METRICS, (json.dumps(document, indent=1) + "\n").encode())
    parts = [
        INTRODUCTION + "\n" + assumed(assumptions) + f"\n\n```\n{command}\n```",
        f"{FATIGUE}\n\n{markdown(changes_table(fatigue, 'discount and limit'), marked=False)}",
        f"{POSITIONS}\n\n{markdown(pl.DataFrame(positions), marked=False)}",
        *([lake_section(reranked, of_lake)] if reranked else []),
        f"{EXPLORATION}\n\n{markdown(pl.DataFrame(exploration), marked=False)}",
        *([f"{LOGS}\n\n{markdown(logged_table(logged), marked=False)}", policy_section(policies)] if logged else []),
    ]
    replace_file(out / PAGE, ("\n\n".join(part.rstrip("\n") for part in parts) + "\n").encode())
    return out / PAGE


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
