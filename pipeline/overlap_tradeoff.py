"""What lists that differ between users cost, for many ways to make them differ.

Candidates and scores of each week are computed once; each variant makes other lists of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from evaluation import Holdout, Interval, RankedLists, interval_over_weeks
from evaluation.ranking_metrics import mean, ndcg_at_k
from evaluation.results import FIRST_SHARE, NEWEST_FIRST, OVERLAP, overlap_metrics
from pipeline.evaluation_lists import (
    EvaluationData,
    K,
    baseline_lists,
    holdout_at,
    lists_of,
    ranked_in_parts,
    ranking_inputs,
    read_evaluation_data,
    snapshot_user_rows,
)
from pipeline.feature_assembly import FeatureSnapshot, read_ingested_tables, read_snapshot
from pipeline.run_context import RunContext
from pipeline.stages.metrics import reranker_at
from pipeline.stages.two_tower import load_tower
from ranking.feature_arrays import Candidates, Floats, Rows
from ranking.feature_names import FEATURE_NAMES
from ranking.rank_users import RankedUsers
from ranking.reason_calibration import ReasonCurve, reason_curve, reason_week
from ranking.slate import SlateConfig, slates

LARGEST_LOSS, LARGEST_OVERLAP = 0.02, 0.45
"""What is asked for: at most so much NDCG lost, and at most so much overlap."""
TEXT_PROFILE = FEATURE_NAMES.index("text_profile")


@dataclass(frozen=True)
class RankedPart:
    """Some users of a week, ranked. Of the features only one is kept: all of them would fill the memory."""

    user_rows: Rows
    candidates: Candidates
    scores: Floats
    text_profile: Floats  # [P] similarity to the user's own titles

    @classmethod
    def of(cls, user_rows: Rows, ranked: RankedUsers) -> Self:
        """The part of these users; a copy of its feature, because a view would keep all features."""
        return cls(user_rows, ranked.candidates, ranked.scores, ranked.features[:, TEXT_PROFILE].copy())


@dataclass(frozen=True)
class Week:
    """What the lists of one week are made of."""

    snapshot: FeatureSnapshot
    holdout: Holdout
    user_rows: Rows
    parts: Sequence[RankedPart]
    exposure: Floats
    newest_first: RankedLists


@dataclass(frozen=True)
class Variant:
    """A way to make lists. `taste` is the weight of the similarity to the user's own titles, beside the score."""

    family: str
    slate: SlateConfig
    named: tuple[str, ...] = ()
    """The settings of the slate that are its own."""
    taste: float = 0.0

    @property
    def setting(self) -> str:
        """The settings as text."""
        settings = [f"{name}={getattr(self.slate, name):g}" for name in self.named]
        return ", ".join([*settings, *([f"score + {self.taste:g} * text_profile"] if self.taste else [])])

    def is_default(self, base: SlateConfig) -> bool:
        """Whether it is what the run's settings ask for."""
        return self.slate == base and not self.taste


@dataclass(frozen=True)
class Outcome:
    """A variant over all weeks. `gain` is in NDCG over the lists without any limit, paired over users."""

    family: str
    setting: str
    ndcg: float
    change: float
    gain: Interval | None
    overlap: float
    first_share: float
    default: bool = False
    """Whether it is what the run's settings ask for."""

    @property
    def reached(self) -> bool:
        """Whether it is as different as asked for, at a loss that may be paid."""
        return self.overlap <= LARGEST_OVERLAP and self.change >= -LARGEST_LOSS


def variants(base: SlateConfig) -> list[Variant]:
    """No limit first, then limits and discounts of common items, and other ways."""
    free = {"per_common": 0, "common_discount": 0.0}
    shares = [(0.1, 0.0), (0.3, 0.0), (0.1, 0.05), (0.3, 0.05), (0.3, 0.1)]
    limits = [
        {"per_common": most, "common_share": share, "common_discount": discount}
        for share, discount in shares
        for most in (7, 6, 5, 4)
    ]
    name = "limit from {common_share:.0%}, discount {common_discount}"
    return [
        _variant(base, "no limit", free),
        *(_variant(base, name.format_map(way), way) for way in limits),
        *(_variant(base, "discount", free | {"common_discount": discount}) for discount in (0.05, 0.1, 0.15, 0.2)),
        *(replace(_variant(base, "own taste", free), taste=taste) for taste in (1.0, 4.0)),
        *(_variant(base, "diversity", free | {"diversity": weight}) for weight in (0.1, 0.3)),
    ]


def _variant(base: SlateConfig, family: str, changes: dict[str, float]) -> Variant:
    return Variant(family, base.model_copy(update=changes), tuple(changes))


def weeks_of(night: RunContext) -> list[Week]:
    """What the lists of a backtest's weeks are made of."""
    ingested, splits = read_ingested_tables(night), night.splits
    with night.lake.open_folder("two_tower", splits.as_of) as towers:
        newest = load_tower(towers, splits.eval_cutoffs[-1])
        data = read_evaluation_data(night, ingested, newest.embed_text(ingested.items))
        return [
            _week(night, data, read_snapshot(night, ingested, cutoff, load_tower(towers, cutoff)))
            for cutoff in splits.eval_cutoffs
        ]


def _week(night: RunContext, data: EvaluationData, view: FeatureSnapshot) -> Week:
    holdout, reranker = holdout_at(night, data, view.cutoff), reranker_at(night, view.cutoff)
    inputs = ranking_inputs(night, view, reranker, night.config.ranking, night.config.index)
    user_rows = snapshot_user_rows(view, data, holdout)
    parts = [RankedPart.of(user_rows[some], ranked) for some, ranked in ranked_in_parts(inputs, reranker, user_rows, K)]
    newest_first = baseline_lists(night, data, holdout)[NEWEST_FIRST]
    exposure = np.zeros(len(view.items.ids), np.float32) if inputs.exposure is None else inputs.exposure
    return Week(view, holdout, user_rows, parts, exposure, newest_first)


def held_out_reasons(weeks: Sequence[Week]) -> ReasonCurve:
    """The held-out clicks, by similarity to what each user had liked before."""
    return reason_curve([_reasons(week) for week in weeks])


def _reasons(week: Week) -> ReasonCurve:
    labels, view = week.holdout.labels, week.snapshot
    row_of = np.full(max(labels.item_rows.max(initial=0), view.catalogue_rows.max(initial=0)) + 1, -1, np.int32)
    row_of[view.catalogue_rows] = np.arange(len(view.catalogue_rows), dtype=np.int32)
    users, items = week.user_rows[labels.owners], row_of[labels.item_rows]
    known = (users >= 0) & (items >= 0)
    return reason_week(view.users, view.items, users[known], items[known])


def outcomes(weeks: Sequence[Week], base: SlateConfig, *, seed: int = 7) -> list[Outcome]:
    """Every variant, the lists without a limit first, then newest-first. Intervals draw resamples with the seed."""
    first, *others = variants(base)
    lists = [_lists(week, first) for week in weeks]
    ndcg = _ndcg(weeks, lists)
    newest = [week.newest_first for week in weeks]
    outcome = partial(_outcome, weeks=weeks, unlimited=ndcg, seed=seed)
    return [
        outcome(first, lists=lists),
        outcome(Variant(NEWEST_FIRST, base, ()), lists=newest),
        *(
            replace(outcome(each, lists=[_lists(week, each) for week in weeks]), default=each.is_default(base))
            for each in others
        ),
    ]


def _lists(week: Week, variant: Variant) -> RankedLists:
    return RankedLists(np.concatenate([_part_lists(week, part, variant).rows for part in week.parts]))


def _part_lists(week: Week, part: RankedPart, variant: Variant) -> RankedLists:
    scores = part.scores + np.float32(variant.taste) * part.text_profile
    chosen = slates(week.snapshot.items, part.candidates, scores, variant.slate, k=K, exposure=week.exposure)
    return lists_of(chosen, part.candidates, week.snapshot, part.user_rows, K)


def _ndcg(weeks: Sequence[Week], lists: Sequence[RankedLists]) -> list[Any]:
    """[U] NDCG of each week."""
    return [ndcg_at_k(ranked, week.holdout.labels, K) for week, ranked in zip(weeks, lists, strict=True)]


def _outcome(
    variant: Variant, *, weeks: Sequence[Week], lists: Sequence[RankedLists], unlimited: Sequence[Any], seed: int
) -> Outcome:
    values, users = _ndcg(weeks, lists), [week.holdout.user_rows for week in weeks]
    ndcg, before = (mean(np.array([mean(week) for week in each])) for each in (values, unlimited))
    differ = [overlap_metrics(ranked) for ranked in lists]
    overlap, first = (mean(np.array([week[name] for week in differ if week])) for name in (OVERLAP, FIRST_SHARE))
    gain = None if values is unlimited else interval_over_weeks(values, list(unlimited), users, seed=seed)
    return Outcome(variant.family, variant.setting, ndcg, ndcg / before - 1, gain, overlap, first)
