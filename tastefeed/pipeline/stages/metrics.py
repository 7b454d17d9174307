"""The held-out days: retrieval, re-ranking and the final slate beside every baseline, on the same rows.

Nothing that is measured here was trained on them: features, retrieval and re-ranker are those of the cut.
"""

from datetime import datetime
from pathlib import Path

import numpy as np

from tastefeed import __version__
from tastefeed.evaluation import Lists, Measured, markdown, mean_of_weeks, metrics_table
from tastefeed.evaluation.metrics import mean, recall_at_k
from tastefeed.pipeline.arrays import Landed, View, read_landed, read_view
from tastefeed.pipeline.holdouts import (
    DEEP,
    K,
    Questions,
    holdout_at,
    lists_of,
    measured,
    measured_baselines,
    read_questions,
    user_rows_in,
)
from tastefeed.pipeline.measured_weeks import Week, write_weeks
from tastefeed.pipeline.night import Night, Summary
from tastefeed.pipeline.night_marks import track_methods
from tastefeed.pipeline.stages.candidates import offered
from tastefeed.pipeline.stages.reranker import file_name
from tastefeed.pipeline.stages.two_tower import load_tower
from tastefeed.ranking.candidates import BITS, taken
from tastefeed.ranking.pair_features import pair_features
from tastefeed.ranking.reranker import Reranker
from tastefeed.ranking.slate import SlateConfig, slates
from tastefeed.ranking.tables import Candidates, Floats, Rows
from tastefeed.serving.index import ExactIndex, build, recall_against_exact

RETRIEVAL, RERANKED, FINAL = "two_tower", "reranked", "final"
AGREEMENT_K, AGREEMENT_USERS = 100, 1000
BY_SCORE = SlateConfig(per_creator=0, per_category=0, diversity=0)
"""Plain ranking: no limit, no diversity."""


def metrics(night: Night) -> Summary:
    """Measure every method at every measured cut, and how well the index agrees with exact search."""
    landed, last = read_landed(night), night.plan.measured[-1]
    with night.lake.open_folder("two_tower", night.plan.as_of) as towers:
        newest = load_tower(towers, last)
        questions = read_questions(night, landed, newest.embed_text(landed.items))
        weeks = [measure_cut(night, landed, questions, towers, cut) for cut in night.plan.measured]
        agreement = index_agreement(night, read_view(night, landed, last, newest))
    means = [mean_of_weeks(method) for method in zip(*(week.methods for week in weeks), strict=True)]
    summary = {
        "users": means[0].users,
        "held_out": f"{night.plan.measured[0]:%Y-%m-%d} to {night.plan.as_of}",
        "ndcg_at_20": round(means[-1].means[f"ndcg_at_{K}"], 4),
        "candidate_recall": round(float(np.mean([week.candidate_recall for week in weeks])), 4),
        "index_recall_at_100": round(agreement, 4),
        "table": metrics_table(means).to_dicts(),
    }
    keep(night, weeks)
    log(night, means, summary)
    track_methods(night, landed, questions, weeks)
    return summary


def measure_cut(night: Night, landed: Landed, questions: Questions, towers: Path, cut: datetime) -> Week:
    """Every method on the days after one cut."""
    holdout = holdout_at(night, questions, cut)
    view = read_view(night, landed, cut, load_tower(towers, cut))
    asked = user_rows_in(view, questions, holdout)
    pairs = offered(night, view, asked[asked >= 0])
    scores = reranker_at(night, cut).score(pair_features(view.users, view.items, pairs, view.hours))
    near = taken(pairs, (pairs.sources & BITS["two_tower"]) > 0)
    slate = night.config.ranking.slate
    ours = {
        RETRIEVAL: ranked(view, near, near.retrieval_scores, BY_SCORE, asked),
        RERANKED: ranked(view, pairs, scores, BY_SCORE, asked),
        FINAL: ranked(view, pairs, scores, slate, asked),
    }
    methods = [measured(name, lists, questions, holdout) for name, lists in ours.items()]
    everything = ranked(view, pairs, scores, BY_SCORE, asked, k=len(view.items.ids))
    found = mean(recall_at_k(everything, holdout.labels, len(view.items.ids)))
    return Week(cut, holdout.user_rows, [*measured_baselines(night, questions, holdout), *methods], found)


def ranked(view: View, pairs: Candidates, scores: Floats, config: SlateConfig, asked: Rows, k: int = DEEP) -> Lists:
    """[U, k] the lists of the asked users, rows of the landed catalogue; empty for who has no vector."""
    chosen = slates(view.items, pairs, scores, config, k=k)
    place = np.full(len(view.users.ids) + 1, -1)
    place[asked] = np.arange(len(asked))  # -1, who is not in the view, writes to the last place, which nobody reads
    rows = np.full((len(asked), k), -1, np.int32)
    rows[place[pairs.user_rows[chosen.pairs]], chosen.places] = pairs.item_rows[chosen.pairs]
    return lists_of(view, rows)


def reranker_at(night: Night, cut: datetime) -> Reranker:
    """The re-ranker that is used at a cut."""
    with night.lake.open_folder("reranker", night.plan.as_of) as folder:
        return Reranker.load(folder / file_name(cut))


def index_agreement(night: Night, view: View) -> float:
    """Recall@100 of the index that would serve, against exact search."""
    items, queries = view.items, view.users.vectors[:AGREEMENT_USERS]
    exact = ExactIndex(items.vectors, items.ids, night.config.index.metric)
    served = build(items.vectors, items.ids, night.config.index)
    return recall_against_exact(served.search(queries, AGREEMENT_K), exact.search(queries, AGREEMENT_K))


def keep(night: Night, weeks: list[Week]) -> None:
    """Per-user figures, without ids, for the gates and for whoever compares nights."""
    with night.lake.new_folder("metrics", night.plan.as_of) as folder:
        write_weeks(weeks, folder)


def log(night: Night, means: list[Measured], summary: Summary) -> None:
    """Every method's figures beside each other in the night's parent run, with counts and the data's fingerprint."""
    counts = night.summary("events")
    figures = {f"{method.name}/{name}": value for method in means for name, value in method.means.items()}
    night.tracking.metrics(
        night.run, figures | {name: summary[name] for name in ("index_recall_at_100", "candidate_recall")}
    )
    night.tracking.metrics(night.run, {name: counts[name] for name in ("landed", "kept", "bad_share")})
    night.tracking.metrics(night.run, {f"quarantine/{reason}": rows for reason, rows in counts["quarantine"].items()})
    night.tracking.params(night.run, {"as_of": night.plan.as_of, "data": counts["fingerprint"], "code": __version__})
    night.tracking.artifact(night.run, "metrics.md", markdown(metrics_table(means)))
