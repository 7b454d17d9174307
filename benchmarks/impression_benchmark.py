"""`tastefeed bench impressions`: what fatigue, position awareness and exploration cost and gain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bandit_policies import PolicyEstimate, policy_estimates
from benchmarks.impression_simulation import NO_FATIGUE, Arm, Assumptions, Outcome, World
from benchmarks.open_bandit import Estimate, estimates
from benchmarks.position_report import EXAMINATIONS as EXAMINATIONS_OF_LAKE
from benchmarks.position_simulation import PositionAssumptions, PositionOutcome, label_weeks, outcomes
from evaluation.bootstrap import Interval, paired_interval
from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig
from serving.exploration import ExplorationConfig

NOTHING = Arm("without", NO_FATIGUE)
CURVES = {
    f"{discount:.0%}, {'no limit' if not limit else f'limit {limit}'}": FatigueConfig(discount=discount, limit=limit)
    for discount, limit in ((0.0, 10), (0.0, 5), (0.05, 0), (0.1, 10), (0.2, 10), (0.35, 10))
}
REPEAT_APPEALS = (1.0, 0.9, 0.8, 0.5)
EXAMINATIONS = (0.5, 1.0)
SLOTS = (0, 1, 2)
LEARNS = ("nothing", "clicks", "positions")


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
    """The change of clicks per user, from tables [U, sessions]."""
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


@dataclass(frozen=True)
class ImpressionResults:
    """Everything that one run measured; without logs or a lake, those parts are empty."""

    assumptions: Assumptions
    fatigue: Sequence[Change]
    positions: Sequence[Mapping[str, object]]
    exploration: Sequence[Mapping[str, object]]
    logged: Sequence[Estimate]
    policies: Sequence[PolicyEstimate]
    of_lake: PositionAssumptions
    reranked: Sequence[PositionOutcome]


def measured(*, data: Path | None, lake: str | None = None, assumptions: Assumptions) -> ImpressionResults:
    """Run everything. Raises `UnreadableInput`, and the errors of `label_weeks`."""
    of_lake = PositionAssumptions(seed=assumptions.seed)
    return ImpressionResults(
        assumptions=assumptions,
        logged=estimates(data) if data else [],
        policies=policy_estimates(data) if data else [],
        of_lake=of_lake,
        reranked=outcomes(label_weeks(lake), EXAMINATIONS_OF_LAKE, of_lake) if lake else [],
        fatigue=fatigue_changes(assumptions),
        positions=position_rows(assumptions),
        exploration=exploration_rows(assumptions),
    )
