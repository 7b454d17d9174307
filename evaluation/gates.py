"""The gates that a release must pass before it serves. A refused release changes nothing: the old one keeps serving.

The holdout of one night is small: about 70 users on the bundled data. An interval that must exclude zero would refuse
most real gains. The default has two weaker conditions on the same rows: the mean must be above every baseline,
and the paired interval must rule out a loss larger than `max_loss`. The same rule holds for each step: retrieval
against baselines, re-ranking against retrieval, the final list against all.

With fewer than `min_users` measured users nothing can be compared, and the release is unmeasured, which is no pass.
Such a night publishes only where no judged release serves: a small lake stays fresh, and a week of lost events does not
replace a release that passed its gates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.errors import GateRefused
from evaluation.bootstrap import Interval, interval_over_weeks, paired_interval
from evaluation.gate_config import GateConfig
from evaluation.ranking_metrics import mean
from evaluation.rankings import Floats, Rows
from evaluation.results import (
    COVERAGE,
    FINAL,
    FIRST_ITEMS,
    FIRST_SHARE,
    NEWEST_FIRST,
    OVERLAP,
    OVERLAP_K,
    RERANKED,
    RETRIEVAL,
    MethodMetrics,
    WeekMetrics,
)
from evaluation.segment_metrics import GroupLabels, group_sizes, pool_small_groups

SMALL_CATALOGUE = 0.5
"""The share of the items on any list from which the catalogue is too small for lists that differ."""


@dataclass(frozen=True)
class Verdict:
    """What one gate saw. `measured` beside `wanted` are the two numbers it compared."""

    gate: str
    passed: bool
    measured: float
    wanted: float
    sentence: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Verdicts:
    """All gates of one night. `judged` is false where too few users were measured to compare rankings."""

    verdicts: tuple[Verdict, ...]
    judged: bool
    notes: tuple[str, ...] = ()
    """What could not be judged, and why."""

    @property
    def passed(self) -> bool:
        """Whether the release may serve."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The gates that refuse."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def require(verdicts: Verdicts) -> None:
    """Raise `GateRefused` with the sentence of every gate that failed."""
    if not verdicts.passed:
        why = "; ".join(verdict.sentence for verdict in verdicts.failed)
        raise GateRefused(f"the release is refused, the old one keeps serving: {why}")


def judge(
    final: MethodMetrics,
    others: Sequence[MethodMetrics],
    *,
    index_recall: float | None = None,
    champion: MethodMetrics | None = None,
    slices: Mapping[str, GroupLabels] | None = None,
    users: Rows | None = None,
    rehearsals: Sequence[WeekMetrics] = (),
    judged_release_serves: bool = False,
    config: GateConfig | None = None,
) -> Verdicts:
    """Compare every step of a night with its baselines, the serving champion and the exact index, on the same rows.

    `others` are the steps before the final ranking and the baselines. `champion` is the serving release measured on
    this night's holdout, where that was done; `slices` give each measured user's group [U] by the slice's name.
    `rehearsals` are weeks on which some of the steps were measured too, their users numbered as in `users` [U].
    `judged_release_serves`: whether the release that serves now was itself judged on enough users.
    """
    config = config or GateConfig()
    week = WeekMetrics(np.arange(final.users, dtype=np.int32) if users is None else users, [*others, final])
    verdicts = [_finite(final)] if final.users else []  # without users, every mean is NaN by definition
    if index_recall is not None:
        verdicts.append(_index(index_recall, config))
    measured_users = int((~np.isnan(final.values(config.metric))).sum())
    if measured_users < config.min_users:
        return _unmeasured(verdicts, measured_users, config, judged_release_serves=judged_release_serves)
    verdicts += [_beats(ours, theirs, [*rehearsals, week], config) for ours, theirs in _contests(config)]
    verdicts += _differ(final, week.named.get(NEWEST_FIRST), config)
    if champion is None:
        return Verdicts(tuple(verdicts), judged=True)
    groups = slices or {}
    by_slice = {name: segment_verdict(final, champion, name, groups.get(name), config) for name in config.judged_slices}
    verdicts += [_keeps_up(final, champion, config), *(verdict for verdict in by_slice.values() if verdict)]
    return Verdicts(tuple(verdicts), judged=True, notes=_unjudged(by_slice, config))


def judge_alone(
    others: Sequence[MethodMetrics],
    *,
    index_recall: float,
    users: Rows,
    rehearsals: Sequence[WeekMetrics],
    config: GateConfig,
) -> Verdicts:
    """Whether retrieval may serve without the re-ranker: the gates of retrieval, and every baseline that a served list
    must beat. The arguments are those of `judge`."""
    week = WeekMetrics(users, others)
    baselines = dict.fromkeys((*config.retrieval_must_beat, *config.must_beat))
    verdicts = [_finite(week.named[RETRIEVAL]), _index(index_recall, config)]
    verdicts += [
        _beats(RETRIEVAL, name, [*rehearsals, week], config)
        for name in baselines
        if name not in (RETRIEVAL, RERANKED, FINAL)
    ]
    return Verdicts(tuple(verdicts), judged=True)


def _contests(config: GateConfig) -> list[tuple[str, str]]:
    """The methods that must beat another one."""
    return [
        *((RETRIEVAL, name) for name in config.retrieval_must_beat),
        *((RERANKED, name) for name in config.reranked_must_beat),
        *((FINAL, name) for name in config.must_beat),
    ]


def _unjudged(by_slice: Mapping[str, Verdict | None], config: GateConfig) -> tuple[str, ...]:
    return tuple(
        f"no {name} has {config.min_slice_users} measured users, no loss is judged"
        for name, verdict in by_slice.items()
        if verdict is None
    )


def _finite(final: MethodMetrics) -> Verdict:
    broken = sorted(name for name, value in final.means.items() if not math.isfinite(value))
    text = f"{len(broken)} metrics are no numbers: {', '.join(broken)}" if broken else "every metric is a number"
    return Verdict("finite_metrics", not broken, len(broken), 0, text)


def _index(recall: float, config: GateConfig) -> Verdict:
    passed = recall >= config.min_index_recall  # false for NaN
    text = f"the index finds {recall:.1%} of the exact top 100, {config.min_index_recall:.1%} are asked for"
    return Verdict("index_recall", passed, recall, config.min_index_recall, text)


def _unmeasured(verdicts: list[Verdict], users: int, config: GateConfig, *, judged_release_serves: bool) -> Verdicts:
    text = f"{users} measured users are too few to compare rankings ({config.min_users} are asked for)"
    if not judged_release_serves:
        return Verdicts(tuple(verdicts), judged=False, notes=(f"{text}: the release is unmeasured",))
    text = f"{text}, and the serving release was judged on enough"
    refusal = Verdict("enough_users", passed=False, measured=users, wanted=config.min_users, sentence=text)
    return Verdicts((*verdicts, refusal), judged=False)


def _beats(name: str, other: str, weeks: Sequence[WeekMetrics], config: GateConfig) -> Verdict:
    """On every week on which both were measured, the night's own among them; each week counts the same."""
    gate = f"{name}_beats_{other}"
    for needed in (name, other):
        if needed not in weeks[-1].named:
            text = f"{needed} was not measured; measure it, or drop it from {_setting(name)}"
            return Verdict(gate, False, math.nan, math.nan, text)
    both = [week for week in weeks if {name, other} <= week.named.keys()]
    ours, theirs = ([week.named[each].values(config.metric) for week in both] for each in (name, other))
    users = [week.users for week in both]
    gain = interval_over_weeks(ours, theirs, users, confidence=config.confidence, seed=config.seed)
    passed = gain.mean > config.min_gain and gain.low >= -config.max_loss
    by_week = np.array([[mean(week) for week in each] for each in (ours, theirs)])  # NaN: a week without users
    mine, others = (mean(each) for each in by_week)
    measured = int(np.isfinite(by_week[0]).sum())
    over = f" over {measured} weeks" if measured > 1 else ""
    text = f"{config.metric} {mine:.4f} of {name} against {others:.4f} of {other}{over}: {gain}"
    return Verdict(gate, passed, mine, others, text if passed else f"{text}; {_wanted_gain(config)}", gain)


def _wanted_gain(config: GateConfig) -> str:
    return f"a gain above {config.min_gain:g} and no loss beyond {config.max_loss:g} are asked for"


def _differ(final: MethodMetrics, newest: MethodMetrics | None, config: GateConfig) -> list[Verdict]:
    """Whether the users' lists differ. Lists that hold half of a small catalogue must overlap and are not judged."""
    if OVERLAP not in final.means or final.means[COVERAGE] >= SMALL_CATALOGUE:
        return []
    overlap, most = final.means[OVERLAP], config.max_overlap
    text = (
        f"two users share {overlap:.1%} of their first {OVERLAP_K} items{_beside(newest, OVERLAP)}, "
        f"{FIRST_ITEMS} items hold {final.means[FIRST_SHARE]:.1%} of first places{_beside(newest, FIRST_SHARE)}"
    )
    wants = f"an overlap of at most {most:.1%} is asked for"
    return [Verdict("lists_differ", overlap <= most, overlap, most, text if overlap <= most else f"{text}; {wants}")]


def _beside(newest: MethodMetrics | None, metric: str) -> str:
    return f" (newest_first: {newest.means[metric]:.1%})" if newest and metric in newest.means else ""


def _setting(name: str) -> str:
    return {RETRIEVAL: "retrieval_must_beat", RERANKED: "reranked_must_beat"}.get(name, "must_beat")


def _keeps_up(final: MethodMetrics, champion: MethodMetrics, config: GateConfig) -> Verdict:
    ours, theirs = final.values(config.metric), champion.values(config.metric)
    floor = mean(theirs) * (1 - config.max_champion_loss)
    gain = paired_interval(ours, theirs, confidence=config.confidence, seed=config.seed)
    text = (
        f"{config.metric} {mean(ours):.4f}, the champion has {mean(theirs):.4f} on the same rows, "
        f"{floor:.4f} are asked for"
    )
    return Verdict("keeps_up_with_champion", mean(ours) >= floor, mean(ours), floor, text, gain)


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

    def text(self) -> str:
        """The group as text."""
        return f"{self.name} ({self.users} users) {self.ours:.4f}, the champion {self.theirs:.4f}: {self.gain}"


def segment_verdict(
    final: MethodMetrics, champion: MethodMetrics, name: str, groups: GroupLabels | None, config: GateConfig
) -> Verdict | None:
    """One slice, its `groups` [U] row for row as the measured users; none where no group is large enough."""
    ours, theirs = final.values(config.metric), champion.values(config.metric)
    both = ~np.isnan(ours - theirs)
    segments = [] if groups is None else _groups(ours[both], theirs[both], groups[both], config)
    if not segments:
        return None
    losing = [group for group in segments if group.loses]
    worst = min(losing or segments, key=lambda group: group.ours - group.floor)
    text = _text(name, segments, losing, worst, config)
    return Verdict(f"{name}_keeps_up", not losing, worst.ours, worst.floor, text, worst.gain)


def _groups(ours: Floats, theirs: Floats, groups: GroupLabels, config: GateConfig) -> list[_Group]:
    joined = pool_small_groups(groups, config.min_slice_users)
    sizes = {name: users for name, users in group_sizes(joined).items() if users >= config.min_slice_users}
    confidence = 1 - (1 - config.confidence) / max(len(sizes), 1)
    return [_group(name, ours[joined == name], theirs[joined == name], confidence, config) for name in sizes]


def _group(name: str, ours: Floats, theirs: Floats, confidence: float, config: GateConfig) -> _Group:
    gain = paired_interval(ours, theirs, confidence=confidence, seed=config.seed)
    return _Group(name, len(ours), mean(ours), mean(theirs), gain, mean(theirs) * (1 - config.max_slice_loss))


def _text(name: str, segments: list[_Group], losing: list[_Group], worst: _Group, config: GateConfig) -> str:
    share = f"more than {config.max_slice_loss:.0%} of the champion's {config.metric}"
    if losing:
        return f"{name}: {'; '.join(group.text() for group in losing)}; no segment may lose {share}"
    return f"{name}: none of {len(segments)} groups loses {share} beyond chance; nearest is {worst.text()}"
