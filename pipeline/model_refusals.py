"""A night whose models cannot be published: too little to train on, or a gate that refuses.

Where a profiled release serves, the night ends there and that release stays. Where none does, the night goes on without
models: the stages in between have nothing to do, and `release` publishes the non-personalised list.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.errors import GateRefused, ReleaseCorrupt, ReleaseMissing, TastefeedError, UntrainableInput
from evaluation.gates import GateConfig
from pipeline.stages import STAGE_NAMES
from serving.releases import publish

if TYPE_CHECKING:
    from pipeline.run_context import RunContext

REFUSALS = (UntrainableInput, GateRefused)
"""Errors after which a night may go on without models."""
SUMMARY = "not_profiled"
BEATS = {"two_tower": "retrieval_must_beat", "reranked": "reranked_must_beat", "final": "must_beat"}
GATES = {
    "index_recall": ("min_index_recall",),
    "enough_users": ("min_users",),
    "keeps_up_with_champion": ("max_champion_loss",),
    "lists_differ": ("max_overlap",),
}
"""The fields of `GateConfig` that control a gate."""
WEEKS = ("holdout_days", "label_weeks")
"""The settings that choose the weeks of training and evaluation."""


def profiled_release_serves(night: "RunContext") -> bool:
    """Whether the serving release has models; one that cannot be read counts as such and stays unchanged."""
    try:
        return publish.show(night.releases).profiled
    except ReleaseMissing:
        return False
    except ReleaseCorrupt:
        return True


def keep_refusal(night: "RunContext", stage: str, refusal: TastefeedError) -> None:
    """Record why the night goes on without models. Raises the refusal where the night must end."""
    if not night.splits.publishes or profiled_release_serves(night):
        raise refusal
    by_gates = isinstance(refusal, GateRefused)
    message = "the gates refuse the models of this night" if by_gates else str(refusal)
    controls = gate_controls(night) if by_gates else stage_controls(night, stage)
    night.write_summary(
        SUMMARY, {"stage": stage, "error": type(refusal).__name__, "message": message, "controls": controls}
    )
    night.mlflow.tags(night.mlflow_run, {"refused_by": stage})


def refused_before(night: "RunContext", stage: str) -> str | None:
    """The stage that refused, if it comes before this one. A refusal of this stage in an earlier try is cleared."""
    refused = night.summary(SUMMARY).get("stage")
    if refused == stage:
        night.clear_summary(SUMMARY)
    comes_before = refused is not None and STAGE_NAMES.index(refused) < STAGE_NAMES.index(stage)
    return refused if comes_before else None


def gate_controls(night: "RunContext") -> list[str]:
    """One line per failed gate: its verdict, and the settings that control it."""
    verdicts = night.summary("gates")["verdicts"]
    return [
        f"gate {each['gate']}: {each['sentence']}; {controlled_by(each['gate'], night.config.gates)}"
        for each in verdicts
        if not each["passed"]
    ]


def controlled_by(gate: str, config: GateConfig) -> str:
    """The settings that control a gate, with their values."""
    step, _, _ = gate.partition("_beats_")
    fields = (BEATS[step], "min_gain", "max_loss") if step in BEATS else GATES.get(gate, ())
    if gate.endswith("_keeps_up"):
        fields = ("judged_slices", "max_slice_loss", "min_slice_users")
    values = config.model_dump(mode="json")
    return _settings({f"GATES__{field}": values[field] for field in fields}) if fields else "no setting controls it"


def stage_controls(night: "RunContext", stage: str) -> list[str]:
    """The settings that decide whether a stage has training examples."""
    return [f"stage {stage}: {_settings({name: getattr(night.settings, name) for name in WEEKS})}"]


def _settings(values: Mapping[str, Any]) -> str:
    named = (f"TASTEFEED_{name.upper()} (now {json.dumps(value)})" for name, value in values.items())
    return f"controlled by {', '.join(named)}"
