"""One retrieval a cutoff, each trained on what was known by then, and each continuing the one before.

The encoder is selected once, at the first cutoff with enough data. From there on the model of a cutoff continues the
one before with the users who came back since, which takes a moment instead of a whole training. No model ever sees past
its own cutoff. `TASTEFEED_TWO_TOWER__MINUTES` bounds the training of all cutoffs together;
when they are over, later cutoffs keep the weights.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch

from contracts import columns as c
from contracts.errors import UntrainableInput
from models.two_tower import Deadline, EpochResult, RunWith, TrainedTwoTower, train
from models.two_tower.exported import export, load
from pipeline.console import epochs_bar
from pipeline.feature_assembly import CatalogSnapshot, at_cutoff, read_catalog
from pipeline.run_context import RunContext, Summary

FIRST_SHARE = 0.6
"""Of the minutes, for the first cutoff; the rest is for those that continue it."""
CURVE = ("loss", "learning_rate", "validation_recall", "validation_ndcg")


def two_tower(night: RunContext) -> Summary:
    """Train and keep a two-tower for every cut. Raises `UntrainableInput` where the last one has nothing to learn."""
    use_threads(night)
    landed, trained = read_catalog(night), 0
    epochs: list[EpochResult] = []
    with night.lake.new_folder("two_tower", night.splits.as_of) as folder:
        for cut, tower in walk_forward(night, landed):
            export(tower, folder / folder_name(cut))
            epochs += tower.epochs
            trained += 1
    track(night, epochs, tower)
    return {"cuts": trained, "epochs": len(epochs), "vector_size": tower.vector_size, **selected(tower)}


def use_threads(night: RunContext) -> None:
    """Train with as many threads as the settings say; 0 is every core."""
    if night.settings.threads:
        torch.set_num_threads(night.settings.threads)


def selected(tower: TrainedTwoTower) -> Summary:
    """The encoder, and the baselines that validated better than it, where there are any."""
    beaten_by = ", ".join(tower.selection.beaten_by) if tower.selection is not None else ""
    return {"encoder": tower.encoder_name} | ({"beaten_by": beaten_by} if beaten_by else {})


def walk_forward(night: RunContext, landed: CatalogSnapshot) -> Iterator[tuple[datetime, TrainedTwoTower]]:
    """A model for each cut that has anything to learn from, oldest first."""
    tower, before, config = None, None, night.config.two_tower
    deadline = Deadline(60 * config.minutes)
    first = config.model_copy(update={"minutes": config.minutes * FIRST_SHARE})
    with epochs_bar(len(night.splits.cutoffs)) as on_epoch:
        for cut in night.splits.cutoffs:
            start: TrainedTwoTower | None = tower if tower is not None and tower.selection is not None else None
            try:
                tower = train(
                    at_cutoff(night, "retrieval_examples", cut).sort(c.USER_ID).collect(),
                    existing(landed.items, cut),
                    landed.users,
                    config=first if start is None else night.config.continued,
                    seed=night.settings.seed,
                    device=night.settings.device,
                    start=start,
                    since=before,
                    run_with=RunWith(on_epoch=on_epoch, deadline=deadline),
                )
            except UntrainableInput:
                if tower is None and cut == night.splits.cutoffs[-1]:
                    raise
            if tower is not None:
                before = cut
                yield cut, tower


def existing(items: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """What could be known of the catalogue at a cut: no title of a later item."""
    return items.filter(pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < cut))


def folder_name(cut: datetime) -> str:
    """A cut as the name of its model's folder."""
    return f"cut={cut:%Y-%m-%dT%H}"


def has_tower(folder: Path, cut: datetime) -> bool:
    """Whether there was anything to learn from by a cut."""
    return (folder / folder_name(cut)).exists()


def load_tower(folder: Path, cut: datetime) -> TrainedTwoTower:
    """The model of a cut."""
    return load(folder / folder_name(cut))


def track(night: RunContext, epochs: list[EpochResult], published: TrainedTwoTower) -> None:
    """The settings, the curve, and the latest model as challenger."""
    run = night.mlflow.start("retrieval", parent=night.mlflow_run)
    night.mlflow.params(run, {"two_tower": night.config.two_tower.model_dump(), "seed": night.settings.seed})
    if published.selection is not None:
        night.mlflow.params(run, {"selection": published.selection.as_json()})
    curves = {name: [getattr(epoch, name) for epoch in epochs] for name in CURVE}
    night.mlflow.curves(run, curves, "epochs of all cuts, one after the other")
    with TemporaryDirectory() as folder:
        export(published, Path(folder) / "two_tower")
        night.mlflow.register(run, "two_tower", Path(folder) / "two_tower")
    night.mlflow.end(run)
