"""What a release must pass before it serves. A release that is refused changes nothing: the old one keeps serving.

The holdout of one night is small (about 70 people on the bundled data), so an interval that must exclude zero would
refuse most honest gains. The default asks two weaker things of the same rows, which together are sane: the mean must be
above every baseline, and the paired interval must rule out a loss larger than `max_loss`. The same rule holds each step
to account: retrieval against what needs no model of a person, re-ranking against retrieval, the final list against all.

With fewer than `min_users` measured people nothing can be compared. Such a night publishes only where no judged release
serves: a lake that is small stays fresh, and a week of lost events does not replace a release that has proved itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import Interval, interval_over_weeks, paired_interval
from evaluation.ranking_metrics import mean
from evaluation.rankings import Floats, Rows
from evaluation.results import FINAL, RERANKED, RETRIEVAL, MethodMetrics, WeekMetrics
from evaluation.segment_metrics import GroupLabels, group_sizes, pool_small_groups
from evaluation.verdicts import GateConfig, Verdict, Verdicts


def judge(
    final: MethodMetrics,
    others: Sequence[MethodMetrics],
    *,
    index_recall: float | None = None,
    champion: MethodMetrics | None = None,
    slices: Mapping[str, GroupLabels] | None = None,
    users: Rows | None = None,
    earlier: Sequence[WeekMetrics] = (),
    judged_release_serves: bool = False,
    config: GateConfig | None = None,
) -> Verdicts:
    """Hold every step of a night against what it must beat, the serving champion and the exact index, on the same rows.

    `others` are the steps before the final ranking and the baselines. `champion` is the serving release measured on
    this night's holdout, where that was done; `slices` give each measured user's group [U] by the slice's name.
    `earlier` are weeks on which some of the steps were measured too, their people numbered as in `users` [U].
    `judged_release_serves` says whether the release that serves now was itself judged on enough users.
    """
    config = config or GateConfig()
    week = WeekMetrics(np.arange(final.users, dtype=np.int32) if users is None else users, [*others, final])
    verdicts = [_finite(final)] if final.users else []  # without anyone to measure, every mean is rightly NaN
    if index_recall is not None:
        verdicts.append(_index(index_recall, config))
    measured_users = int((~np.isnan(final.values(config.metric))).sum())
    if measured_users < config.min_users:
        verdicts.append(_too_few(measured_users, config, judged_release_serves=judged_release_serves))
        return Verdicts(tuple(verdicts), judged=False)
    verdicts += [_beats(ours, theirs, [*earlier, week], config) for ours, theirs in _contests(config)]
    if champion is None:
        return Verdicts(tuple(verdicts), judged=True)
    verdicts.append(_keeps_up(final, champion, config))
    groups = slices or {}
    by_slice = {name: segment_verdict(final, champion, name, groups.get(name), config) for name in config.judged_slices}
    verdicts += [found for found in by_slice.values() if found]
    return Verdicts(tuple(verdicts), judged=True, notes=_unjudged(by_slice, config))


def _contests(config: GateConfig) -> list[tuple[str, str]]:
    """Who must beat whom."""
    return [
        *((RETRIEVAL, name) for name in config.retrieval_must_beat),
        *((RERANKED, name) for name in config.reranked_must_beat),
        *((FINAL, name) for name in config.must_beat),
    ]


def _unjudged(by_slice: Mapping[str, Verdict | None], config: GateConfig) -> tuple[str, ...]:
    return tuple(
        f"no {name} has {config.min_slice_users} measured people, nobody's loss is judged"
        for name, verdict in by_slice.items()
        if verdict is None
    )


def _finite(final: MethodMetrics) -> Verdict:
    broken = sorted(name for name, value in final.means.items() if not math.isfinite(value))
    told = f"{len(broken)} metrics are no numbers: {', '.join(broken)}" if broken else "every metric is a number"
    return Verdict("finite_metrics", not broken, len(broken), 0, told)


def _index(recall: float, config: GateConfig) -> Verdict:
    passed = recall >= config.min_index_recall  # false for NaN
    told = f"the index finds {recall:.1%} of the exact top 100, {config.min_index_recall:.1%} are asked for"
    return Verdict("index_recall", passed, recall, config.min_index_recall, told)


def _too_few(users: int, config: GateConfig, *, judged_release_serves: bool) -> Verdict:
    told = f"{users} measured users are too few to compare rankings ({config.min_users} are asked for)"
    why = "and the serving release was judged on enough" if judged_release_serves else "and no judged release serves"
    return Verdict("enough_users", not judged_release_serves, users, config.min_users, f"{told}, {why}")


def _beats(name: str, other: str, weeks: Sequence[WeekMetrics], config: GateConfig) -> Verdict:
    """On every week on which both were measured, the night's own among them; each week counts the same."""
    gate = f"{name}_beats_{other}"
    for needed in (name, other):
        if needed not in weeks[-1].named:
            told = f"{needed} was not measured; measure it, or drop it from {_setting(name)}"
            return Verdict(gate, False, math.nan, math.nan, told)
    both = [week for week in weeks if {name, other} <= week.named.keys()]
    ours, theirs = ([week.named[each].values(config.metric) for week in both] for each in (name, other))
    people = [week.users for week in both]
    gain = interval_over_weeks(ours, theirs, people, confidence=config.confidence, seed=config.seed)
    mine, others = float(np.mean([mean(week) for week in ours])), float(np.mean([mean(week) for week in theirs]))
    passed = gain.mean > config.min_gain and gain.low >= -config.max_loss
    over = f" over {len(ours)} weeks" if len(ours) > 1 else ""
    told = f"{config.metric} {mine:.4f} of {name} against {others:.4f} of {other}{over}: {gain}"
    wants = f"a gain above {config.min_gain:g} and no loss beyond {config.max_loss:g} are asked for"
    return Verdict(gate, passed, mine, others, told if passed else f"{told}; {wants}", gain)


def _setting(name: str) -> str:
    return {RETRIEVAL: "retrieval_must_beat", RERANKED: "reranked_must_beat"}.get(name, "must_beat")


def _keeps_up(final: MethodMetrics, champion: MethodMetrics, config: GateConfig) -> Verdict:
    ours, theirs = final.values(config.metric), champion.values(config.metric)
    floor = mean(theirs) * (1 - config.max_champion_loss)
    gain = paired_interval(ours, theirs, confidence=config.confidence, seed=config.seed)
    told = (
        f"{config.metric} {mean(ours):.4f}, the champion has {mean(theirs):.4f} on the same rows, "
        f"{floor:.4f} are asked for"
    )
    return Verdict("keeps_up_with_champion", mean(ours) >= floor, mean(ours), floor, told, gain)


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


def segment_verdict(
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
    joined = pool_small_groups(groups, config.min_slice_users)
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
