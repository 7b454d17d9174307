"""The gates: a ranking that does not beat its baselines is refused, and the old release keeps serving."""

import numpy as np

from contracts.errors import GateRefused, ReleaseCorrupt, ReleaseMissing
from evaluation import Verdicts, judge, macro_average, markdown, require, verdicts_table
from evaluation.results import CHAMPION, FINAL
from pipeline.experiments.registered_models import promote
from pipeline.metrics_store import VALIDATION, read_weeks
from pipeline.model_refusals import controlled_by
from pipeline.run_context import RunContext, Summary
from serving.releases.publish import load

MODEL_STAGES = ("two_tower", "reranker")
"""The stages that register a model."""
JUDGED = "judged"
"""The key of a release's metrics for whether it was compared with enough users."""


def gates(night: RunContext) -> Summary:
    """Judge the metrics of the night. Raises `GateRefused` with the sentence of each gate that failed."""
    verdicts = judge_night(night)
    summary = verdicts_summary(night, verdicts)
    log_verdicts(night, verdicts)
    if not verdicts.passed:
        night.write_summary("gates", {"seconds": 0.0, **summary})
        night.mlflow.end(night.mlflow_run, "FAILED")
    try:
        require(verdicts)
    except GateRefused as refused:
        raise GateRefused(f"{refused}; {failed_gates(night, verdicts)}") from None
    for stage in MODEL_STAGES:
        if registered := night.summary(stage).get("registered"):
            promote(night.mlflow, registered)
    return summary


def failed_gates(night: RunContext, verdicts: Verdicts) -> str:
    """Each failed gate with the settings that control it."""
    return "; ".join(f"{failed.gate} is {controlled_by(failed.gate, night.config.gates)}" for failed in verdicts.failed)


def verdicts_summary(night: RunContext, verdicts: Verdicts) -> Summary:
    """The verdicts as the release and the console show them."""
    absent = night.summary("metrics")["champion"].get("absent")
    notes = ([f"no champion is compared: {absent}"] if absent else []) + list(verdicts.notes)
    return {
        "passed": str(verdicts.passed),
        JUDGED: verdicts.judged,
        "sentences": [
            f"{'passed' if verdict.passed else 'REFUSED'}: {verdict.sentence}" for verdict in verdicts.verdicts
        ],
        "not_judged": notes,
        "verdicts": verdicts_table(verdicts).fill_nan(None).to_dicts(),
        "thresholds": night.config.gates.model_dump(),
    }


def log_verdicts(night: RunContext, verdicts: Verdicts) -> None:
    """Log the thresholds and the verdicts to the night's run."""
    night.mlflow.tags(night.mlflow_run, {"gates": night.config.gates.model_dump()})
    night.mlflow.metrics(
        night.mlflow_run, {f"gate/{verdict.gate}": float(verdict.passed) for verdict in verdicts.verdicts}
    )
    night.mlflow.artifact(night.mlflow_run, "gates.json", verdicts_table(verdicts).write_json())
    night.mlflow.artifact(night.mlflow_run, "gates.md", markdown(verdicts_table(verdicts)))


def judge_night(night: RunContext) -> Verdicts:
    """Compare the final list with every other method, on the same users and labels."""
    with night.lake.open_folder("metrics", night.splits.as_of) as folder:
        weeks, validation = read_weeks(folder), read_weeks(folder / VALIDATION)
    methods = [macro_average(method) for method in zip(*(week.methods for week in weeks), strict=True)]
    by_name = {method.name: method for method in methods}
    return judge(
        by_name.pop(FINAL),
        list(by_name.values()),
        champion=by_name.get(CHAMPION),
        users=np.concatenate([week.users for week in weeks]),
        earlier=validation,
        slices={name: np.concatenate([week.segments[name] for week in weeks]) for name in weeks[0].segments},
        index_recall=night.summary("metrics")["index_recall_at_100"],
        judged_release_serves=judged_release_serves(night),
        config=night.config.gates,
    )


def judged_release_serves(night: RunContext) -> bool:
    """Whether the release that serves was itself compared with enough users."""
    try:
        return bool(load(night.releases).metrics.get(JUDGED))
    except (ReleaseMissing, ReleaseCorrupt):
        return False
