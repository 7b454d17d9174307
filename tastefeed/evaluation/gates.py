"""What a release must pass before it serves. A release that is refused changes nothing: the old one keeps serving.

The holdout of one night is small (about 75 people on the bundled data), so an interval that must exclude zero would
refuse most honest gains. The default asks two weaker things of the same rows, which together are sane: the mean must be
above every baseline, and the paired interval must rule out a loss larger than `max_loss`.

With fewer than `min_users` measured people nothing can be compared. Such a night publishes only where no judged release
serves: a lake that is small stays fresh, and a week of lost events does not replace a release that has proved itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastefeed.contracts.errors import BadEvaluationInput, GateRefused
from tastefeed.evaluation.bootstrap import Interval, paired_interval
from tastefeed.evaluation.lists import Floats
from tastefeed.evaluation.measured import Measured
from tastefeed.evaluation.metrics import mean


class GateConfig(BaseModel):
    """What a release is held against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field("ndcg_at_20", description="per-user metric that is compared")
    must_beat: tuple[str, ...] = Field(
        ("newest_first", "popular_1d", "popular_7d", "popular_28d"), description="methods"
    )
    min_gain: float = Field(0.0, description="mean gain over each baseline must be above this")
    max_loss: float = Field(0.1, ge=0, description="loss against a baseline that the interval must rule out")
    max_champion_loss: float = Field(0.1, ge=0, le=1, description="share of the champion's mean that may be lost")
    min_index_recall: float = Field(0.95, ge=0, le=1, description="recall@100 of the index against exact search")
    min_users: int = Field(20, ge=2, description="measured users below which nothing is compared")
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence of intervals")
    seed: int = Field(7, description="seed of the resampling")


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

    @property
    def passed(self) -> bool:
        """Whether the release may serve."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The gates that refuse."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def judge(
    final: Measured,
    baselines: Sequence[Measured],
    *,
    index_recall: float | None = None,
    champion: Measured | None = None,
    judged_release_serves: bool = False,
    config: GateConfig | None = None,
) -> Verdicts:
    """Hold the final ranking against baselines, the serving champion and the exact index, all on the same rows.

    `champion` is the serving release measured on this night's holdout, where that was done. `judged_release_serves`
    says whether the release that serves now was itself judged on enough users.
    """
    config = config or GateConfig()
    verdicts = [_finite(final)] if final.users else []  # without anyone to measure, every mean is rightly NaN
    if index_recall is not None:
        verdicts.append(_index(index_recall, config))
    measured_users = _measured_users(final, config)
    if measured_users < config.min_users:
        verdicts.append(_too_few(measured_users, config, judged_release_serves=judged_release_serves))
        return Verdicts(tuple(verdicts), judged=False)
    verdicts += [_beats(final, name, baselines, config) for name in config.must_beat]
    if champion is not None:
        verdicts.append(_keeps_up(final, champion, config))
    return Verdicts(tuple(verdicts), judged=True)


def require(verdicts: Verdicts) -> None:
    """Raise `GateRefused` with the sentence of every gate that failed."""
    if not verdicts.passed:
        why = "; ".join(verdict.sentence for verdict in verdicts.failed)
        raise GateRefused(f"the release is refused, the old one keeps serving: {why}")


def _measured_users(final: Measured, config: GateConfig) -> int:
    return int((~np.isnan(_values(final, config))).sum())


def _values(measured: Measured, config: GateConfig) -> Floats:
    if config.metric not in measured.per_user:
        there = ", ".join(measured.per_user)
        raise BadEvaluationInput(
            f"{measured.name} has no metric {config.metric}; measure it, or compare one of {there}"
        )
    return measured.per_user[config.metric]


def _finite(final: Measured) -> Verdict:
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


def _beats(final: Measured, name: str, baselines: Sequence[Measured], config: GateConfig) -> Verdict:
    gate, baseline = f"beats_{name}", {each.name: each for each in baselines}.get(name)
    if baseline is None:
        return Verdict(
            gate, False, math.nan, math.nan, f"{name} was not measured; measure it, or drop it from must_beat"
        )
    ours, theirs = mean(_values(final, config)), mean(_values(baseline, config))
    gain = _gain(final, baseline, config)
    passed = gain.mean > config.min_gain and gain.low >= -config.max_loss
    told = f"{config.metric} {ours:.4f} against {theirs:.4f} of {name}: {gain}"
    wants = f"a gain above {config.min_gain:g} and no loss beyond {config.max_loss:g} are asked for"
    return Verdict(gate, passed, ours, theirs, told if passed else f"{told}; {wants}", gain)


def _keeps_up(final: Measured, champion: Measured, config: GateConfig) -> Verdict:
    ours, theirs = mean(_values(final, config)), mean(_values(champion, config))
    floor = theirs * (1 - config.max_champion_loss)
    told = f"{config.metric} {ours:.4f}, the champion has {theirs:.4f} on the same rows, {floor:.4f} are asked for"
    return Verdict("keeps_up_with_champion", ours >= floor, ours, floor, told, _gain(final, champion, config))


def _gain(final: Measured, other: Measured, config: GateConfig) -> Interval:
    ours, theirs = _values(final, config), _values(other, config)
    return paired_interval(ours, theirs, confidence=config.confidence, seed=config.seed)
