"""The gates: a ranking that does not beat its baselines is refused, and the old release keeps serving."""

import math
from dataclasses import dataclass

import numpy as np

from contracts.errors import GateRefused, ReleaseCorrupt, ReleaseMissing
from evaluation import MethodMetrics, Verdicts, judge, judge_alone, macro_average, markdown, require, verdicts_table
from evaluation.rankings import Rows
from evaluation.results import CHAMPION, FINAL
from evaluation.segment_metrics import GroupLabels
from pipeline.experiments.night_run import MAX_TAG_LENGTH
from pipeline.metrics_store import REHEARSALS, EvaluatedWeek, read_weeks
from pipeline.model_refusals import ALONE, controlled_by
from pipeline.run_context import RunContext, Summary
from serving.releases.publish import load

JUDGED = "judged"
"""The key of a release's metrics for whether it was compared with enough users."""


def gates(night: RunContext) -> Summary:
    """Judge the metrics of the night. Raises `GateRefused` with the sentence of each gate that failed.

    The summary also states whether retrieval passes alone, so that a first night can publish it.
    """
    results = read_results(night)
    verdicts = judge_night(night, results)
    summary = verdicts_summary(night, verdicts)
    if verdicts.judged and not verdicts.passed:
        summary[ALONE] = alone_summary(night, results)
    log_verdicts(night, verdicts)
    if not verdicts.passed:
        night.write_summary("gates", {"seconds": 0.0, **summary})
        night.mlflow.end(night.mlflow_run, "FAILED")
    try:
        require(verdicts)
    except GateRefused as refused:
        raise GateRefused(f"{refused}; {failed_gates(night, verdicts)}") from None
    return summary


def failed_gates(night: RunContext, verdicts: Verdicts) -> str:
    """Each failed gate with the settings that control it."""
    return "; ".join(f"{failed.gate} is {controlled_by(failed.gate, night.config.gates)}" for failed in verdicts.failed)


def verdicts_summary(night: RunContext, verdicts: Verdicts) -> Summary:
    """The verdicts as the release and the console show them."""
    absent = night.summary("metrics")["champion"].get("absent")
    notes = ([f"no champion is compared: {absent}"] if absent else []) + list(verdicts.notes)
    unmeasured = verdicts.passed and not verdicts.judged
    if unmeasured:
        notes.append(f"enough_users is {controlled_by('enough_users', night.config.gates)}")
    return {
        "passed": "unmeasured" if unmeasured else str(verdicts.passed),
        JUDGED: verdicts.judged,
        "sentences": [
            f"{'passed' if verdict.passed else 'REFUSED'}: {verdict.sentence}" for verdict in verdicts.verdicts
        ],
        "not_judged": notes,
        "verdicts": verdicts_table(verdicts).fill_nan(None).to_dicts(),
        "thresholds": night.config.gates.model_dump(),
    }


def log_verdicts(night: RunContext, verdicts: Verdicts) -> None:
    """Log the verdicts to the night's run; `wanted` in the table is the threshold of each."""
    failed = "; ".join(verdict.sentence for verdict in verdicts.failed)
    night.mlflow.tags(night.mlflow_run, {"gates": f"refused: {failed}"[:MAX_TAG_LENGTH] if failed else "passed"})
    night.mlflow.metrics(
        night.mlflow_run, {f"gate/{verdict.gate}": float(verdict.passed) for verdict in verdicts.verdicts}
    )
    night.mlflow.artifact(night.mlflow_run, "gates.json", verdicts_table(verdicts).write_json())
    night.mlflow.artifact(night.mlflow_run, "gates.md", markdown(verdicts_table(verdicts)))


@dataclass(frozen=True)
class Results:
    """The stored metrics of a night: the evaluated weeks, the rehearsals, and each method over all users."""

    weeks: list[EvaluatedWeek]
    rehearsals: list[EvaluatedWeek]

    @property
    def methods(self) -> dict[str, MethodMetrics]:
        """Every method by its name."""
        methods = zip(*(week.methods for week in self.weeks), strict=True)
        return {weekly[0].name: macro_average(weekly) for weekly in methods}

    @property
    def users(self) -> Rows:
        """[U] the measured users."""
        return np.concatenate([week.users for week in self.weeks])

    @property
    def segments(self) -> dict[str, GroupLabels]:
        """[U] the group of each measured user, by the name of the segment."""
        names = self.weeks[0].segments
        return {name: np.concatenate([week.segments[name] for week in self.weeks]) for name in names}


def read_results(night: RunContext) -> Results:
    """The metrics that the stage `metrics` stored."""
    with night.lake.open_folder("metrics", night.splits.as_of) as folder:
        return Results(read_weeks(folder), read_weeks(folder / REHEARSALS))


def judge_night(night: RunContext, results: Results) -> Verdicts:
    """Compare the final list with every other method, on the same users and labels."""
    by_name = results.methods
    return judge(
        by_name.pop(FINAL),
        list(by_name.values()),
        champion=by_name.get(CHAMPION),
        users=results.users,
        rehearsals=results.rehearsals,
        slices=results.segments,
        index_recall=index_recall(night),
        judged_release_serves=judged_release_serves(night),
        config=night.config.gates,
    )


def index_recall(night: RunContext) -> float:
    """The recall of the index as it was computed: NaN, which JSON lacks, is stored as null and passes no gate."""
    stored = night.summary("metrics")["index_recall_at_100"]
    return math.nan if stored is None else float(stored)


def alone_summary(night: RunContext, results: Results) -> Summary:
    """Whether the two-tower passes without the re-ranker, and the sentences of what it fails."""
    verdicts = judge_alone(
        list(results.methods.values()),
        users=results.users,
        rehearsals=results.rehearsals,
        index_recall=index_recall(night),
        config=night.config.gates,
    )
    return {"passed": verdicts.passed, "failed": [verdict.sentence for verdict in verdicts.failed]}


def judged_release_serves(night: RunContext) -> bool:
    """Whether the release that serves was itself compared with enough users."""
    try:
        return bool(load(night.releases).metrics.get(JUDGED))
    except (ReleaseMissing, ReleaseCorrupt):
        return False
