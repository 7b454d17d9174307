"""One retrieval a cut, each trained on what was known by then: the first from scratch, every later one from the one before.

Walking forward costs an epoch or two a cut instead of a whole training, and no model ever sees past its own cut.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import UntrainableInput
from tastefeed.models.two_tower import EpochResult, TrainedTwoTower, train
from tastefeed.models.two_tower.export import export, load
from tastefeed.pipeline.arrays import Landed, at_cut, read_landed
from tastefeed.pipeline.console import epochs_bar
from tastefeed.pipeline.night import Night, Summary
from tastefeed.pipeline.tracking import finite

CURVE = ("loss", "validation_recall", "validation_ndcg")


def two_tower(night: Night) -> Summary:
    """Train and keep a two-tower for every cut. Raises `UntrainableInput` where even the last cut has nothing to learn."""
    landed, epochs, trained = read_landed(night), [], []
    with night.lake.new_folder("two_tower", night.plan.as_of) as folder:
        for cut, tower in walk_forward(night, landed):
            export(tower, folder / folder_name(cut))
            epochs += tower.epochs
            trained.append(cut)
    track(night, epochs, tower)
    return {"cuts": len(trained), "epochs": len(epochs), "vector_size": tower.vector_size}


def walk_forward(night: Night, landed: Landed) -> Iterator[tuple[datetime, TrainedTwoTower]]:
    """A model for each cut that has anything to learn from, oldest first."""
    tower, config = None, night.config.two_tower
    with epochs_bar(len(night.plan.cuts)) as on_epoch:
        for cut in night.plan.cuts:
            try:
                tower = train(
                    at_cut(night, "retrieval_examples", cut).sort(c.USER_ID).collect(),
                    existing(landed.items, cut),
                    landed.users,
                    config=config if tower is None else night.config.continued,
                    seed=night.settings.seed,
                    device=night.settings.device,
                    start=tower,
                    on_epoch=on_epoch,
                )
            except UntrainableInput:
                if cut == night.plan.cuts[-1]:
                    raise
                continue
            yield cut, tower


def existing(items: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """What could be known of the catalogue at a cut: no title of a later item."""
    return items.filter(pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < cut))


def folder_name(cut: datetime) -> str:
    """A cut as the name of its model's folder."""
    return f"cut={cut:%Y-%m-%dT%H}"


def load_tower(folder: Path, cut: datetime) -> TrainedTwoTower | None:
    """The model of a cut; `None` where there was nothing to learn from yet."""
    path = folder / folder_name(cut)
    return load(path) if path.exists() else None


def track(night: Night, epochs: list[EpochResult], published: TrainedTwoTower) -> None:
    """The settings, the curve, and the latest model as challenger."""
    run = night.tracking.start("retrieval", parent=night.run)
    night.tracking.params(run, {"two_tower": night.config.two_tower.model_dump(), "seed": night.settings.seed})
    for step, epoch in enumerate(epochs):
        night.tracking.metrics(run, finite({name: getattr(epoch, name) for name in CURVE}), step)
    with TemporaryDirectory() as folder:
        export(published, Path(folder) / "two_tower")
        night.tracking.register(run, "two_tower", Path(folder) / "two_tower")
    night.tracking.end(run)
