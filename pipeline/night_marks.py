"""What each method of a night keeps in MLflow so that it can be compared with another method, or another night."""

from datetime import datetime

import polars as pl

from evaluation import Holdout, MethodMetrics, macro_average
from evaluation.anonymized_metrics import nameless, week_marks
from evaluation.fingerprint import EvaluationFingerprint, digest
from pipeline.evaluation_data import EvaluationData, K, holdout_at
from pipeline.experiments.run_log import MethodRecord, log_method
from pipeline.metrics_store import WeekMetrics
from pipeline.run_context import RunContext

METRIC = f"ndcg_at_{K}"


def track_methods(night: RunContext, questions: EvaluationData, weeks: list[WeekMetrics]) -> None:
    """One child run a method: its settings are those of the night, its marks those of every measured week."""
    holdouts = [holdout_at(night, questions, week.cut) for week in weeks]
    asked = night_question(night, questions, holdouts)
    for methods in zip(*(week.methods for week in weeks), strict=True):
        name = methods[0].name
        run = night.mlflow.start(name, parent=night.mlflow_run)
        night.mlflow.params(run, {"method": name, "config": night.config.model_dump(mode="json")})
        night.mlflow.metrics(run, macro_average(methods).means)
        weekly = [marks_of(questions, *each) for each in zip(weeks, methods, strict=True)]
        log_method(night.mlflow, run, MethodRecord(asked, nameless(weekly), METRIC), seed=night.settings.seed)
        night.mlflow.end(run)


def night_question(night: RunContext, questions: EvaluationData, holdouts: list[Holdout]) -> EvaluationFingerprint:
    """The landed events, the labels of every measured week, and whose they are."""
    cuts: list[datetime] = [holdout.cut for holdout in holdouts]
    labels = [digest([*each.labels.offsets, *each.labels.item_rows, *each.labels.gains]) for each in holdouts]
    users = [digest(questions.user_ids[each.user_rows]) for each in holdouts]
    events = str(night.summary("events")["fingerprint"])
    what = "night" if night.splits.publishes else f"backtest of {len(cuts)} weeks to"
    return EvaluationFingerprint(f"{what} {night.splits.as_of}", events, digest([*cuts, *labels]), digest(users), K)


def marks_of(questions: EvaluationData, week: WeekMetrics, method: MethodMetrics) -> pl.DataFrame:
    """One method's week, with each person's groups."""
    user_ids = pl.Series(questions.user_ids[week.users], dtype=pl.String)
    return week_marks(user_ids, method.per_user, users=week.groups, items={})
