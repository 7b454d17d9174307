"""The gate: a ranking that does not beat its baselines is refused, and the old release keeps serving."""

import numpy as np

from contracts.errors import GateRefused, ReleaseCorrupt, ReleaseMissing
from evaluation import Verdicts, judge, macro_average, markdown, require, verdicts_table
from evaluation.results import CHAMPION, FINAL
from pipeline.metrics_store import VALIDATION, read_weeks
from pipeline.model_refusals import controlled_by
from pipeline.run_context import RunContext, Summary
from serving.releases.publish import load

JUDGED = "judged"
"""The key of a release's metrics that says whether it was compared with enough people."""


def gates(night: RunContext) -> Summary:
    """Judge what was measured. Raises `GateRefused` with the sentence of each gate that failed."""
    verdicts = judged(night)
    summary = summed_up(night, verdicts)
    track(night, verdicts)
    if not verdicts.passed:
        night.write_summary("gates", {"seconds": 0.0, **summary})
        night.mlflow.end(night.mlflow_run, "FAILED")
    try:
        require(verdicts)
    except GateRefused as refused:
        raise GateRefused(f"{refused}; {settings_that_refuse(night, verdicts)}") from None
    night.mlflow.promote(("two_tower", "reranker"))
    return summary


def settings_that_refuse(night: RunContext, verdicts: Verdicts) -> str:
    """Each gate that failed with the settings that control it."""
    return "; ".join(f"{failed.gate} is {controlled_by(failed.gate, night.config.gates)}" for failed in verdicts.failed)


def summed_up(night: RunContext, verdicts: Verdicts) -> Summary:
    """The verdicts as the release and the console tell them."""
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


def track(night: RunContext, verdicts: Verdicts) -> None:
    """The thresholds and the verdicts in the night's run."""
    night.mlflow.tags(night.mlflow_run, {"gates": night.config.gates.model_dump()})
    night.mlflow.metrics(
        night.mlflow_run, {f"gate/{verdict.gate}": float(verdict.passed) for verdict in verdicts.verdicts}
    )
    night.mlflow.artifact(night.mlflow_run, "gates.json", verdicts_table(verdicts).write_json())
    night.mlflow.artifact(night.mlflow_run, "gates.md", markdown(verdicts_table(verdicts)))


def judged(night: RunContext) -> Verdicts:
    """Hold the final ranking against every other method, on the same rows."""
    with night.lake.open_folder("metrics", night.splits.as_of) as folder:
        weeks, validation = read_weeks(folder), read_weeks(folder / VALIDATION)
    methods = [macro_average(method) for method in zip(*(week.methods for week in weeks), strict=True)]
    named = {method.name: method for method in methods}
    return judge(
        named.pop(FINAL),
        list(named.values()),
        champion=named.get(CHAMPION),
        users=np.concatenate([week.users for week in weeks]),
        earlier=validation,
        slices={name: np.concatenate([week.segments[name] for week in weeks]) for name in weeks[0].segments},
        index_recall=night.summary("metrics")["index_recall_at_100"],
        judged_release_serves=judged_release_serves(night),
        config=night.config.gates,
    )


def judged_release_serves(night: RunContext) -> bool:
    """Whether the release that serves now was itself compared with enough people."""
    try:
        return bool(load(night.releases).metrics.get(JUDGED))
    except (ReleaseMissing, ReleaseCorrupt):
        return False
