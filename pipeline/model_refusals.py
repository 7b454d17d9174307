"""A night whose models, or a part of them, cannot be published: too little data to train on, or a gate that refuses.

Where a release serves that is at least as strong as what passed, the night ends there and that release stays. Otherwise
the night goes on, and `release` publishes the strongest part that passed: the two-tower without the re-ranker, or else
the non-profiled list, which needs no model.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.errors import GateRefused, UntrainableInput
from evaluation.gate_config import GateConfig
from pipeline.stages import STAGE_NAMES
from serving.releases import publish
from serving.releases.manifest import ReducedTo

if TYPE_CHECKING:
    from pipeline.run_context import RunContext

Refusal = UntrainableInput | GateRefused
REFUSALS = (UntrainableInput, GateRefused)
"""Errors after which a night may go on with a part of its models, or without any."""
SUMMARY = "reduced"
ALONE = "two_tower_alone"
"""The key of the gates' summary for whether retrieval may serve without the re-ranker."""
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


def keep_refusal(night: "RunContext", stage: str, refusal: Refusal) -> None:
    """Record what the night still publishes, and why. Raises the refusal where the night must end."""
    by_gates = isinstance(refusal, GateRefused)
    reduced_to = ReducedTo.TWO_TOWER if by_gates and passes_alone(night) else ReducedTo.NON_PROFILED
    if not night.splits.publishes:
        raise refusal
    if kept := serving_release_stays(night, reduced_to):
        raise type(refusal)(f"{refusal}; {kept}") from refusal
    message = "the gates refuse the models of this night" if by_gates else str(refusal)
    fields = {"stage": stage, "error": type(refusal).__name__, "message": message, "reduced_to": reduced_to}
    night.write_summary(SUMMARY, {**fields, "controls": controls_of(night, stage, refusal)})
    night.mlflow.tags(night.mlflow_run, {"refused_by": stage, "reduced_to": reduced_to})


def controls_of(night: "RunContext", stage: str, refusal: Refusal) -> list[str]:
    """Lines with the settings that decide: those of the failed gates, of what was counted, or of the weeks."""
    if isinstance(refusal, GateRefused):
        return gate_controls(night)
    return list(refusal.controls) or stage_controls(night, stage)


def passes_alone(night: "RunContext") -> bool:
    """Whether the two-tower passes its gates without the re-ranker."""
    return bool(night.summary("gates").get(ALONE, {}).get("passed"))


def serving_release_stays(night: "RunContext", reduced_to: ReducedTo) -> str | None:
    """Which release keeps serving and why, where a reduced release of this night must not replace it."""
    why = publish.why_current_stays(night.releases, night.splits.end, reduced_to, even_if_older=night.publish)
    return f"release {publish.current(night.releases)} keeps serving: {why}" if why else None


def refused_before(night: "RunContext", stage: str) -> str | None:
    """The stage that refused, if it comes before this one. A refusal of this stage in an earlier try is cleared."""
    refused = night.summary(SUMMARY).get("stage")
    if refused == stage:
        night.clear_summary(SUMMARY)
    comes_before = refused is not None and STAGE_NAMES.index(refused) < STAGE_NAMES.index(stage)
    return refused if comes_before else None


def gate_controls(night: "RunContext") -> list[str]:
    """One line per failed gate: its verdict, and the settings that relax it."""
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
    return settings_text({f"GATES__{field}": values[field] for field in fields}) if fields else "no setting controls it"


def stage_controls(night: "RunContext", stage: str) -> list[str]:
    """The settings that decide whether a stage has training examples."""
    return [f"stage {stage}: {settings_text({name: getattr(night.settings, name) for name in WEEKS})}"]


def settings_text(values: Mapping[str, Any]) -> str:
    """Settings as environment variables with their values, in the words of every refusal."""
    named = (f"TASTEFEED_{name.upper()} (now {json.dumps(value)})" for name, value in values.items())
    return f"controlled by {', '.join(named)}"
