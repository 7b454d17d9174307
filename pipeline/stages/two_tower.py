"""One retrieval a cut, each trained on what was known by then, and each continuing the one before.

Walking forward costs a moment a cut instead of a whole training: the model of the cut before learns from those who came
back since. No model ever sees past its own cut.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch

from contracts import columns as c
from contracts.errors import UntrainableInput
from models.two_tower import EpochResult, TrainedTwoTower, train
from models.two_tower.exported import export, load
from pipeline.arrays import Landed, at_cut, read_landed
from pipeline.console import epochs_bar
from pipeline.night import Night, Summary

CURVE = ("loss", "learning_rate", "validation_recall", "validation_ndcg")


def two_tower(night: Night) -> Summary:
    """Train and keep a two-tower for every cut. Raises `UntrainableInput` where the last one has nothing to learn."""
    if night.settings.threads:
        torch.set_num_threads(night.settings.threads)
    landed, trained = read_landed(night), 0
    epochs: list[EpochResult] = []
    with night.lake.new_folder("two_tower", night.plan.as_of) as folder:
        for cut, tower in walk_forward(night, landed):
            export(tower, folder / folder_name(cut))
            epochs += tower.epochs
            trained += 1
    track(night, epochs, tower)
    return {"cuts": trained, "epochs": len(epochs), "vector_size": tower.vector_size}


def walk_forward(night: Night, landed: Landed) -> Iterator[tuple[datetime, TrainedTwoTower]]:
    """A model for each cut that has anything to learn from, oldest first."""
    tower, before, config = None, None, night.config.two_tower
    with epochs_bar(len(night.plan.cuts)) as on_epoch:
        for cut in night.plan.cuts:
            try:
                tower = train(
                    lessons(night, cut, since=before),
                    existing(landed.items, cut),
                    landed.users,
                    config=config if tower is None else night.config.continued,
                    seed=night.settings.seed,
                    device=night.settings.device,
                    start=tower,
                    on_epoch=on_epoch,
                )
            except UntrainableInput:
                if tower is None and cut == night.plan.cuts[-1]:
                    raise
            if tower is not None:
                before = cut
                yield cut, tower


def lessons(night: Night, cut: datetime, *, since: datetime | None) -> pl.DataFrame:
    """The histories as of a cut; where a model is continued, of the people who came back since."""
    examples = at_cut(night, "retrieval_examples", cut).sort(c.USER_ID)
    if since is not None:
        examples = examples.filter(pl.col("timestamps").list.last() >= since)
    return examples.collect()


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


def track(night: Night, epochs: list[EpochResult], published: TrainedTwoTower) -> None:
    """The settings, the curve, and the latest model as challenger."""
    run = night.tracking.start("retrieval", parent=night.run)
    night.tracking.params(run, {"two_tower": night.config.two_tower.model_dump(), "seed": night.settings.seed})
    curves = {name: [getattr(epoch, name) for epoch in epochs] for name in CURVE}
    night.tracking.curves(run, curves, "epochs of all cuts, one after the other")
    with TemporaryDirectory() as folder:
        export(published, Path(folder) / "two_tower")
        night.tracking.register(run, "two_tower", Path(folder) / "two_tower")
    night.tracking.end(run)
