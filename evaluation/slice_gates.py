"""Nobody pays for the mean: no language and no region may lose much against the champion.

A group of a night's holdout is a few dozen people, and of several groups one is always unlucky. So a group refuses a
release only where it loses more than `max_slice_loss` of the champion's mean and its paired interval says that this is
no chance, at a confidence that is shared out among the groups of the slice (Bonferroni): a night in which nothing has
changed is refused by a slice in about 2.5 % of cases at most, however many groups there are. Losses that are
smaller than what so few people can show pass here; they show in the slice tables night after night.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import Interval, paired_interval
from evaluation.gate_config import GateConfig
from evaluation.ranking_metrics import mean
from evaluation.rankings import Floats
from evaluation.results import MethodMetrics
from evaluation.segment_metrics import GroupLabels, group_sizes, pooled
from evaluation.verdicts import Verdict


@dataclass(frozen=True)
class _Group:
    name: str
    users: int
    ours: float
    theirs: float
    gain: Interval
    floor: float

    @property
    def loses(self) -> bool:
        """More than may be lost, and not by chance."""
        return self.ours < self.floor and self.gain.high < 0

    def told(self) -> str:
        """One group in words."""
        return f"{self.name} ({self.users} people) {self.ours:.4f}, the champion {self.theirs:.4f}: {self.gain}"


def slice_verdict(
    final: MethodMetrics, champion: MethodMetrics, name: str, groups: GroupLabels | None, config: GateConfig
) -> Verdict | None:
    """One slice, its `groups` [U] row for row as the measured users; none where no group is large enough."""
    ours, theirs = final.values(config.metric), champion.values(config.metric)
    known = ~np.isnan(ours - theirs)
    found = [] if groups is None else _groups(ours[known], theirs[known], groups[known], config)
    if not found:
        return None
    losing = [group for group in found if group.loses]
    worst = min(losing or found, key=lambda group: group.ours - group.floor)
    return Verdict(
        f"{name}_keeps_up", not losing, worst.ours, worst.floor, _told(name, found, losing, worst, config), worst.gain
    )


def _groups(ours: Floats, theirs: Floats, groups: GroupLabels, config: GateConfig) -> list[_Group]:
    joined = pooled(groups, config.min_slice_users)
    sizes = {name: users for name, users in group_sizes(joined).items() if users >= config.min_slice_users}
    confidence = 1 - (1 - config.confidence) / max(len(sizes), 1)
    return [_group(name, ours[joined == name], theirs[joined == name], confidence, config) for name in sizes]


def _group(name: str, ours: Floats, theirs: Floats, confidence: float, config: GateConfig) -> _Group:
    gain = paired_interval(ours, theirs, confidence=confidence, seed=config.seed)
    return _Group(name, len(ours), mean(ours), mean(theirs), gain, mean(theirs) * (1 - config.max_slice_loss))


def _told(name: str, found: list[_Group], losing: list[_Group], worst: _Group, config: GateConfig) -> str:
    share = f"more than {config.max_slice_loss:.0%} of the champion's {config.metric}"
    if losing:
        return f"{name}: {'; '.join(group.told() for group in losing)}; nobody may lose {share}"
    return f"{name}: none of {len(found)} groups loses {share} beyond chance; nearest is {worst.told()}"
