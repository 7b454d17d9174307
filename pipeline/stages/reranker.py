"""One re-ranker for each instant it is used at, trained on the label windows that end before it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from contracts import columns as c
from contracts.errors import UntrainableInput
from pipeline.experiments.registered_models import RANKER, RERANKER, name_of_night, register, reranker_interface
from pipeline.feature_assembly import (
    FeatureSnapshot,
    IngestedTables,
    at_cutoff,
    read_ingested_tables,
    read_snapshot,
    rows_of,
)
from pipeline.feature_selection import FeatureSelection, select_features
from pipeline.item_transitions import night_transitions
from pipeline.run_context import RunContext, Summary
from pipeline.shown_pairs import with_shown
from pipeline.stages.candidates import read_candidates
from pipeline.stages.two_tower import has_tower, load_tower
from pipeline.user_impressions import known_impressions
from ranking.feature_arrays import Candidates, Floats
from ranking.impression_features import impression_features
from ranking.rank_users import candidate_features
from ranking.reranker import Reranker, RerankerConfig, TrainedReranker, train
from ranking.training_pairs import LabelledPairs

LABEL = "label"


def reranker(night: RunContext) -> Summary:
    """Train and keep the re-rankers: of each measured cutoff, and the one that is published."""
    ingested = read_ingested_tables(night)
    config = night.config.ranking.reranker.model_copy(update={"threads": night.settings.threads})
    pairs = {}
    with night.lake.open_folder("two_tower", night.splits.as_of) as towers:
        for cutoff in night.progress.each(night.splits.label_cutoffs, "label weeks"):
            pairs[cutoff] = labelled_pairs(night, ingested, towers, cutoff)
    night.progress.report("selection of features")
    selection = select_features(pairs, night.splits.training_cutoffs(night.splits.eval_cutoffs[0]), config)
    pairs = {cutoff: selection.restrict(labelled) for cutoff, labelled in pairs.items()}
    with night.lake.new_folder("reranker", night.splits.as_of) as folder:
        for cutoff in night.progress.each(night.splits.ranking_cutoffs, "re-rankers"):
            trained = train([pairs[label] for label in night.splits.training_cutoffs(cutoff)], config, selection.names)
            trained.reranker.save(folder / file_name(cutoff))
        rehearsed = [
            cutoff
            for cutoff in night.progress.each(night.splits.rehearsal_cutoffs, "re-rankers of earlier weeks")
            if rehearse(night, pairs, cutoff, config, selection, folder)
        ]
    registered = track(night, trained, selection)
    made = len(night.splits.ranking_cutoffs) + len(rehearsed)
    return {"rerankers": made, "pairs": sum(len(each.labels) for each in pairs.values()), **selection.summary} | {
        "registered": registered
    }


def rehearse(
    night: RunContext,
    pairs: Mapping[datetime, LabelledPairs],
    cutoff: datetime,
    config: RerankerConfig,
    selection: FeatureSelection,
    folder: Path,
) -> bool:
    """Train and keep the re-ranker of a rehearsal; false where the weeks before it have no labels.

    That of the last week has been trained by the selection of features.
    """
    labels = night.splits.rehearsal_training_cutoffs(cutoff)
    reused = selection.trained if selection.trained_on == labels else None
    try:
        trained = reused or train([pairs[label] for label in labels], config, selection.names)
    except UntrainableInput:
        return False
    trained.reranker.save(folder / file_name(cutoff))
    return True


def labelled_pairs(night: RunContext, ingested: IngestedTables, towers: Path, cutoff: datetime) -> LabelledPairs:
    """Features as of a cutoff, and the labels of the window after it; no pair where nothing could be retrieved yet."""
    if not has_tower(towers, cutoff):
        return NOTHING
    view = read_snapshot(night, ingested, cutoff, load_tower(towers, cutoff))
    training = with_shown(night, view, read_candidates(night, view))
    pairs = training.candidates
    transitions = None if night.config.ranking.reranker.cooccurrence == "never" else night_transitions(night, view)
    features = candidate_features(view.users, view.items, pairs, view.hours, transitions)
    if learns_from_impressions(night):
        features = np.concatenate([features, seen_features(night, view, pairs)], axis=1)
    return LabelledPairs(features, labels_of(night, view, pairs), pairs.user_rows, training.shown)


def learns_from_impressions(night: RunContext) -> bool:
    """Whether features of impressions are tried: any label week has impressions."""
    config = night.config.ranking.reranker
    wanted = config.impressions and config.impression_features != "never"
    return wanted and night.count("ranking_impressions") > 0


def seen_features(night: RunContext, view: FeatureSnapshot, pairs: Candidates) -> Floats:
    """[P, number of names] the features of impressions before the cutoff."""
    known = known_impressions(night, view.users.ids, view.items.ids, view.cutoff)
    return impression_features(known, pairs, np.unique(pairs.user_rows), view.hours)


def labels_of(night: RunContext, view: FeatureSnapshot, pairs: Candidates) -> np.ndarray:
    """[P] 2 for a save, 1 for a click, 0 for what the user let pass."""
    labels = at_cutoff(night, "ranking_examples", view.cutoff).collect()
    labelled = labels.select(
        rows_of(labels[c.USER_ID], view.users.ids).alias("user"),
        rows_of(labels[c.ITEM_ID], view.items.ids).alias("item"),
        LABEL,
    )
    rows = pl.DataFrame({"user": pairs.user_rows, "item": pairs.item_rows})
    joined = rows.join(labelled, on=["user", "item"], how="left", maintain_order="left")
    return joined[LABEL].fill_null(0).cast(pl.Int32).to_numpy()


def file_name(cutoff: datetime) -> str:
    """The file of the re-ranker that is used at a cutoff."""
    return f"cut={cutoff:%Y-%m-%dT%H}.txt"


def track(night: RunContext, trained: TrainedReranker, selection: FeatureSelection) -> Summary:
    """Log the selection, the curve and the importances; register the model as challenger where the night publishes."""
    run = night.mlflow.start("ranking", parent=night.mlflow_run)
    night.mlflow.params(run, selection.summary)
    curve = {
        "ndcg_at_20_training_examples": trained.curve,
        "learning_rate": [night.config.ranking.reranker.learning_rate] * len(trained.curve),
    }
    night.mlflow.curves(run, curve, "trees of a model")
    night.mlflow.artifact(run, "importances.json", json.dumps(trained.reranker.importances(), indent=1))
    registered = register_reranker(night, run, trained.reranker) if night.splits.publishes else {}
    night.mlflow.end(run)
    return registered


def register_reranker(night: RunContext, run: str, model: Reranker) -> Summary:
    """Register a model as challenger."""
    name = name_of_night(night.splits.as_of, night.label)
    described = f"Re-ranker of the {name}: {model.rounds} trees over {len(model.names)} features."
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / RANKER)
        return register(night.mlflow, run, RERANKER, Path(folder), reranker_interface(model.names), described)


NOTHING = LabelledPairs(np.zeros((0, 0), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32))
