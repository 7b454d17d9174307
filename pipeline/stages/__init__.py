"""The stages of the night in order, each a short function: read, call, write, track.

A stage and its task share one name, and so does the table that most stages write. `STAGES` is the only list of the
stages and their dependencies: the DAG, the stage runner, the backtest and the console report read it. This module must
import neither torch, pyspark nor pandas, so each entry imports its stage when it is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.run_context import RunContext, Summary

    StageFunction = Callable[[RunContext], Summary]


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the stages that must be done before it, and how to import its function."""

    name: str
    upstream: tuple[str, ...]
    load: "Callable[[], StageFunction]"
    timeout_hours: int = 1
    """How long its task may run."""
    in_backtest: bool = True
    """Whether a backtest, which publishes nothing, runs it."""
    needs_models: bool = True
    """Whether it is skipped when an earlier stage of the night refused its models."""


def _forget() -> "StageFunction":
    from pipeline.stages.forget import forget

    return forget


def _events() -> "StageFunction":
    from pipeline.stages.events import events

    return events


def _feature_table(name: str) -> "StageFunction":
    from pipeline.stages.feature_tables import write_feature_table

    return partial(write_feature_table, name=name)


def _two_tower() -> "StageFunction":
    from pipeline.stages.two_tower import two_tower

    return two_tower


def _candidates() -> "StageFunction":
    from pipeline.stages.candidates import candidates

    return candidates


def _reranker() -> "StageFunction":
    from pipeline.stages.reranker import reranker

    return reranker


def _metrics() -> "StageFunction":
    from pipeline.stages.metrics import metrics

    return metrics


def _gates() -> "StageFunction":
    from pipeline.stages.gates import gates

    return gates


def _release() -> "StageFunction":
    from pipeline.stages.release import release

    return release


def _features(name: str, *upstream: str, needs_models: bool = True) -> Stage:
    """A table of features; without models, those that only models read are skipped."""
    return Stage(name, upstream, partial(_feature_table, name), needs_models=needs_models)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("forget", (), _forget, in_backtest=False),
        Stage("events", ("forget",), _events),
        _features("sessions", "events", needs_models=False),
        _features("interactions", "sessions", needs_models=False),
        _features("user_features", "interactions"),
        _features("item_features", "interactions", needs_models=False),
        _features("retrieval_examples", "sessions"),
        _features("ranking_examples", "sessions"),
        _features("ranking_impressions", "sessions"),
        Stage("two_tower", ("retrieval_examples",), _two_tower, timeout_hours=6),
        Stage("candidates", ("user_features", "item_features", "ranking_examples", "two_tower"), _candidates),
        Stage("reranker", ("candidates", "ranking_impressions"), _reranker, timeout_hours=2),
        Stage("metrics", ("reranker",), _metrics),
        Stage("gates", ("metrics",), _gates, in_backtest=False),
        Stage("release", ("gates",), _release, in_backtest=False, needs_models=False),
    )
}
"""Every stage by its name, in an order in which one process can run them."""

STAGE_NAMES = tuple(STAGES)
