"""One retrieval model a cutoff, each trained on the events before it, and each continuing the model before it.

The encoder is selected once, at the first cutoff with enough data. From there on the model of a cutoff continues the
one before with the users that were active since. That takes seconds instead of a whole training. No model sees an
event after its own cutoff. `TASTEFEED_TWO_TOWER__MINUTES` bounds the training of all cutoffs together; when they are
over, later cutoffs keep the weights.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch

from contracts import columns as c
from contracts.errors import UncontinuableModel, UntrainableInput
from models.two_tower import Deadline, EpochResult, RunWith, TrainedTwoTower, train
from models.two_tower.exported import export, load
from pipeline.experiments.registered_models import TWO_TOWER, item_tower_interface, name_of_night, register
from pipeline.feature_assembly import IngestedTables, at_cutoff, read_ingested_tables
from pipeline.run_context import RunContext, Summary

logger = logging.getLogger(__name__)
FIRST_SHARE = 0.6
"""The share of the minutes for the first cutoff; the rest is for the cutoffs that continue its model."""
OVER_TIME = (
    "the %g minutes for training were over before the last cutoff; the latest models kept earlier weights. Run the "
    "night on a quieter machine, or raise TASTEFEED_TWO_TOWER__MINUTES"
)
KEPT = "the model of %s is the one before, because there is none of that cutoff: %s"
ANEW = "the model of %s is trained anew, because the one before cannot be continued: %s"
CURVE = ("loss", "learning_rate", "validation_recall", "validation_ndcg")


def two_tower(night: RunContext) -> Summary:
    """Train and store a two-tower for every cutoff. Raises `UntrainableInput` where the last one has no examples."""
    use_threads(night)
    cutoffs, anew, epochs = 0, 0, list[EpochResult]()
    before: TrainedTwoTower | None = None  # the only other one that stays in memory
    with night.lake.new_folder("two_tower", night.splits.as_of) as folder:
        for cutoff, tower in walk_forward(night, read_ingested_tables(night)):
            export(tower, folder / folder_name(cutoff))
            cutoffs += 1
            if tower is not before:  # a cutoff without examples keeps the model before
                epochs += tower.epochs
                anew += tower.anew
            before = tower
    summary = {
        "cutoffs": cutoffs,
        "epochs": len(epochs),
        "vector_size": tower.vector_size,
        **selection_summary(tower),
        **({"trained_anew": anew} if anew else {}),
    }
    return summary | {"registered": log_training(night, epochs, tower)}


def use_threads(night: RunContext) -> None:
    """Train with the number of threads in the settings; 0 is every core."""
    if night.settings.threads:
        torch.set_num_threads(night.settings.threads)


def selection_summary(tower: TrainedTwoTower) -> Summary:
    """The encoder, and the baselines with a better validation metric, if there are any."""
    beaten_by = ", ".join(tower.selection.beaten_by) if tower.selection is not None else ""
    return {"encoder": tower.encoder_name} | ({"beaten_by": beaten_by} if beaten_by else {})


def walk_forward(night: RunContext, ingested: IngestedTables) -> Iterator[tuple[datetime, TrainedTwoTower]]:
    """A model for each cutoff that has examples, oldest first."""
    tower, before = None, None
    deadline = Deadline(60 * night.config.two_tower.minutes)
    for done, cutoff in enumerate(night.splits.cutoffs):
        start: TrainedTwoTower | None = tower if tower is not None and tower.selection is not None else None
        run_with = RunWith(on_epoch=partial(report_epoch, night, done), deadline=deadline)
        try:
            tower = train_at(night, ingested, cutoff, start, before, run_with)
        except UntrainableInput as refused:
            if tower is None and cutoff == night.splits.cutoffs[-1]:
                raise
            if tower is not None:
                logger.warning(KEPT, f"{cutoff:%Y-%m-%d}", refused)
        if tower is not None:
            before = cutoff
            yield cutoff, tower
    if deadline.passed:
        logger.warning(OVER_TIME, night.config.two_tower.minutes)


def train_at(
    night: RunContext,
    ingested: IngestedTables,
    cutoff: datetime,
    start: TrainedTwoTower | None,
    since: datetime | None,
    run_with: RunWith,
) -> TrainedTwoTower:
    """Train on the examples of a cutoff. A model to start from is continued on what came `since`, or trained anew where
    its weights do not fit, such as from before items had ages."""
    config = night.config.two_tower
    whole = config.model_copy(update={"minutes": config.minutes * FIRST_SHARE})
    training = partial(
        train,
        at_cutoff(night, "retrieval_examples", cutoff).sort(c.USER_ID).collect(),
        existing(ingested.items, cutoff),
        ingested.users,
        seed=night.settings.seed,
        device=night.settings.device,
        start=start,
        run_with=run_with,
    )
    try:
        return training(config=night.config.continued if start else whole, since=since)
    except UncontinuableModel as refused:
        logger.warning(ANEW, f"{cutoff:%Y-%m-%d}", refused)
        return training(config=whole, anew=True)


def report_epoch(night: RunContext, cutoffs_done: int, epoch: EpochResult) -> None:
    """Show the epoch that ended."""
    step = f"epoch {epoch.epoch}, loss {epoch.loss:.3f}"
    night.progress.report(f"cutoffs, {step}", cutoffs_done, len(night.splits.cutoffs))


def existing(items: pl.DataFrame, cutoff: datetime) -> pl.DataFrame:
    """The items that exist by a cutoff: no title of a later item is used."""
    return items.filter(pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < cutoff))


def folder_name(cutoff: datetime) -> str:
    """The folder of a cutoff's model."""
    return f"cut={cutoff:%Y-%m-%dT%H}"


def has_tower(folder: Path, cutoff: datetime) -> bool:
    """Whether a cutoff has a model; one without examples has none."""
    return (folder / folder_name(cutoff)).exists()


def load_tower(folder: Path, cutoff: datetime) -> TrainedTwoTower:
    """The model of a cutoff."""
    return load(folder / folder_name(cutoff))


def log_training(night: RunContext, epochs: list[EpochResult], published: TrainedTwoTower) -> Summary:
    """Log the selection and the curves; register the latest model as challenger where the night publishes it."""
    run = night.mlflow.start("retrieval", parent=night.mlflow_run)
    if published.selection is not None:
        night.mlflow.params(run, {"selection": published.selection.as_json()})
    curves = {name: [getattr(epoch, name) for epoch in epochs] for name in CURVE}
    night.mlflow.curves(run, curves, "epochs of all cutoffs, one after the other")
    registered = register_tower(night, run, published) if night.splits.publishes else {}
    night.mlflow.end(run)
    return registered


def register_tower(night: RunContext, run: str, tower: TrainedTwoTower) -> Summary:
    """Register a model as challenger."""
    name = name_of_night(night.splits.as_of, night.label)
    described = f"Retrieval of the {name}: encoder {tower.encoder_name}, {tower.vector_size} dimensions."
    with TemporaryDirectory() as folder:
        model = Path(folder) / TWO_TOWER
        export(tower, model)
        return register(night.mlflow, run, TWO_TOWER, model, item_tower_interface(tower.vector_size), described)
