"""What each method of a night keeps in MLflow so that it can be compared with another method, or another night."""

from datetime import datetime

import numpy as np
import polars as pl

from tastefeed.contracts import columns as c
from tastefeed.evaluation import Holdout, Measured, mean_of_weeks
from tastefeed.evaluation.marks import nameless, week_marks
from tastefeed.evaluation.question import Question, digest
from tastefeed.evaluation.slices import Words, user_slices
from tastefeed.pipeline.arrays import Landed
from tastefeed.pipeline.holdouts import K, Questions, holdout_at
from tastefeed.pipeline.marked_runs import Marked, keep
from tastefeed.pipeline.measured_weeks import Week
from tastefeed.pipeline.night import Night

METRIC = f"ndcg_at_{K}"


def track_methods(night: Night, landed: Landed, questions: Questions, weeks: list[Week]) -> None:
    """One child run a method: its settings are those of the night, its marks those of every measured week."""
    holdouts = [holdout_at(night, questions, week.cut) for week in weeks]
    asked = night_question(night, questions, holdouts)
    for methods in zip(*(week.methods for week in weeks), strict=True):
        name = methods[0].name
        run = night.tracking.start(name, parent=night.run)
        night.tracking.params(run, {"method": name, "config": night.config.model_dump(mode="json")})
        night.tracking.metrics(run, mean_of_weeks(methods).means)
        weekly = [marks_of(landed, questions, *each) for each in zip(holdouts, methods, strict=True)]
        keep(night.tracking, run, Marked(asked, nameless(weekly), METRIC), seed=night.settings.seed)
        night.tracking.end(run)


def night_question(night: Night, questions: Questions, holdouts: list[Holdout]) -> Question:
    """The landed events, the labels of every measured week, and whose they are."""
    cuts: list[datetime] = [holdout.cut for holdout in holdouts]
    labels = [digest([*each.labels.offsets, *each.labels.item_rows, *each.labels.gains]) for each in holdouts]
    users = [digest(questions.user_ids[each.user_rows]) for each in holdouts]
    events = str(night.summary("events")["fingerprint"])
    what = "night" if night.plan.publishes else f"backtest of {len(cuts)} weeks to"
    return Question(f"{what} {night.plan.as_of}", events, digest([*cuts, *labels]), digest(users), K)


def marks_of(landed: Landed, questions: Questions, holdout: Holdout, method: Measured) -> pl.DataFrame:
    """One method's week: people by tenure, history and region."""
    user_ids = pl.Series(questions.user_ids[holdout.user_rows], dtype=pl.String)
    users = {**user_slices(holdout), "region": regions(landed, user_ids)}
    return week_marks(user_ids, method.per_user, users=users, items={})


def regions(landed: Landed, user_ids: pl.Series) -> Words:
    """[U] the region of each user, `unknown` where the landed users have none."""
    known = pl.DataFrame({c.USER_ID: user_ids}).join(
        landed.users.select(c.USER_ID, c.REGION), on=c.USER_ID, how="left", maintain_order="left"
    )
    words: Words = np.asarray(known[c.REGION].fill_null("unknown").to_list(), dtype=np.str_)
    return words
