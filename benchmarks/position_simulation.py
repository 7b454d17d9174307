"""Clicks simulated over the candidates of a lake: what the places of impressions gain a re-ranker, or cost it.

The shipped code trains the re-rankers. Users, items and features are those of a finished night. Shown pages and clicks
are simulated by the position-based model. The last label week measures; the weeks before it train. Shapes: P pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Doubles
from contracts.errors import UntrainableInput
from evaluation.bootstrap import Interval, paired_interval
from pipeline.feature_assembly import read_ingested_tables
from pipeline.lake import Lake
from pipeline.run_context import open_run_context
from pipeline.stages.reranker import labelled_pairs
from ranking.feature_names import FEATURE_NAMES
from ranking.position_bias import NOT_SHOWN, ShownPairs
from ranking.reranker import RerankerConfig, train
from ranking.training_pairs import LabelledPairs

K, LEAST_WEEKS = 10, 2
POPULARITY = FEATURE_NAMES.index("popularity_rank_7d")


class PositionAssumptions(BaseModel):
    """The simulated pages and clicks. A user clicks an item at place `p`, from 0, with probability
    `appeal * (1 + p) ** -examination`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: int = Field(20, description="items of a page; each user has one page a week")
    shown_noise: float = Field(1.0, description="standard deviation of the noise in the order of the pages")
    appeal_weight: float = Field(1.0, description="log-odds of the appeal for a standard deviation of the true score")
    mean_log_odds: float = Field(-4.0, description="log-odds of the appeal at the mean true score")
    models: int = Field(2, description="models of a re-ranker; the night has ten")
    repetitions: int = Field(2, description="simulations whose mean counts for a user")
    seed: int = Field(7, description="of everything random")


LEARNS_FROM: Mapping[str, dict[str, object]] = {
    "clicks alone": {"impressions": False},
    "off": {"position": "off"},
    "bias": {"position": "bias"},
    "ipw": {"position": "ipw"},
}
"""What the re-ranker learns from, by name: a change of its config."""


@dataclass(frozen=True)
class PositionOutcome:
    """NDCG@10 of true appeals under one decline of attention."""

    examination: float
    learns: str
    ndcg: float
    gain: Interval
    """Over `off`."""


def label_weeks(lake: str) -> list[LabelledPairs]:
    """The candidates of the last night's label weeks with their features. Raises `LakeMissing`, `MissingPartition` and
    `UntrainableInput`."""
    home = Lake(lake)
    home.require()
    days = home.partitions("reranker")
    if not days:
        raise UntrainableInput(f"{lake}: no night has trained a re-ranker; run `tastefeed nightly` first")
    night = open_run_context(lake, days[-1])
    ingested = read_ingested_tables(night)
    with night.lake.open_folder("two_tower", days[-1]) as towers:
        weeks = [labelled_pairs(night, ingested, towers, cutoff) for cutoff in night.splits.label_cutoffs]
    useful = [week for week in weeks if week.clicked.any()]
    if len(useful) < LEAST_WEEKS:
        raise UntrainableInput(f"{lake}: {len(useful)} label weeks have clicks, {LEAST_WEEKS} are asked for")
    return [replace(week, features=week.features[:, : len(FEATURE_NAMES)]) for week in useful]


def true_scores(weeks: Sequence[LabelledPairs], config: RerankerConfig) -> list[Doubles]:
    """[P] of each week, standardized: the scores of a re-ranker with all real labels."""
    model = train(weeks, config).reranker
    scores = [model.score(week.features).astype(float) for week in weeks]
    every = np.concatenate(scores)
    return [(each - every.mean()) / every.std() for each in scores]


def outcomes(
    weeks: Sequence[LabelledPairs], examinations: Sequence[float], a: PositionAssumptions
) -> list[PositionOutcome]:
    """Results of every way to learn, under every decline. `weeks` have the features of `FEATURE_NAMES`."""
    config = RerankerConfig(models=a.models)
    appeals = [1 / (1 + np.exp(-(a.mean_log_odds + a.appeal_weight * each))) for each in true_scores(weeks, config)]
    found = []
    for examination in examinations:
        measured = {learns: np.zeros(len(np.unique(weeks[-1].user_rows))) for learns in LEARNS_FROM}
        for repetition in range(a.repetitions):
            random = np.random.default_rng((a.seed, repetition))
            clicked = [
                simulated(week, appeal, examination, a, random)
                for week, appeal in zip(weeks[:-1], appeals[:-1], strict=True)
            ]
            for learns, change in LEARNS_FROM.items():
                scores = _scores(clicked, weeks[-1], config.model_copy(update=change))
                measured[learns] += ndcg(weeks[-1].user_rows, appeals[-1], scores) / a.repetitions
        found += [
            PositionOutcome(examination, learns, float(each.mean()), paired_interval(each, measured["off"]))
            for learns, each in measured.items()
        ]
    return found


def simulated(
    week: LabelledPairs, appeal: Doubles, examination: float, a: PositionAssumptions, random: np.random.Generator
) -> LabelledPairs:
    """The week with simulated pages and clicks in place of its labels."""
    popular = -np.log1p(week.features[:, POPULARITY].astype(float))
    places = ranks_of(week.user_rows, popular + a.shown_noise * random.normal(size=len(popular)))
    on_page = places < a.page
    clicked = on_page & (random.random(len(places)) < appeal * (1.0 + places) ** -examination)
    shown = ShownPairs(np.where(on_page, places, NOT_SHOWN).astype(np.int32), np.ones(len(places), np.float32))
    return replace(week, labels=clicked.astype(np.int32), shown=shown)


def _scores(weeks: Sequence[LabelledPairs], last: LabelledPairs, config: RerankerConfig) -> Doubles:
    known = weeks if config.impressions else [replace(week, shown=None) for week in weeks]
    return train(known, config).reranker.score(last.features).astype(float)


def ranks_of(user_rows: NDArray[np.int32], scores: Doubles) -> NDArray[np.int64]:
    """[P] the place of each pair among those of its user, best first."""
    order = np.lexsort((-scores, user_rows))
    _, starts = np.unique(user_rows[order], return_index=True)
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return places


def ndcg(user_rows: NDArray[np.int32], appeals: Doubles, scores: Doubles) -> Doubles:
    """[U] NDCG@10 of each user's pairs, with appeals as gains."""
    _, owners = np.unique(user_rows, return_inverse=True)
    ours, best = (_dcg(owners, appeals, ranks_of(user_rows, each)) for each in (scores, appeals))
    return np.asarray(ours / best)


def _dcg(owners: NDArray[np.int64], gains: Doubles, places: NDArray[np.int64]) -> Doubles:
    return np.asarray(np.bincount(owners, np.where(places < K, gains / np.log2(places + 2.0), 0.0)), float)
