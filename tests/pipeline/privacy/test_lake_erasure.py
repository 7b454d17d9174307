"""Creators are forgotten in every copy of a model, wherever MLflow keeps it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from contracts import Settings
from models.two_tower import TrainedTwoTower, TwoTowerConfig, load, train
from models.two_tower.exported import export
from models.two_tower.vocabulary import Vocabularies
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.experiments.registered_models import item_tower_interface, register
from pipeline.lake import Lake
from pipeline.privacy.lake_erasure import forget_creators
from tests import tiny

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def tower() -> TrainedTwoTower:
    positives = (
        tiny.events()
        .group_by("user_id", maintain_order=True)
        .agg(
            pl.col("item_id").alias("item_ids"),
            pl.col("action").alias("actions"),
            pl.col("timestamp").dt.cast_time_unit("us").alias("timestamps"),
        )
    )
    examples = positives.with_columns(trainable=pl.lit(True))
    return train(examples, tiny.items(), config=TwoTowerConfig(epochs=1, embedding_size=8), seed=7, device="cpu")


def codes(folder: Path) -> list[int]:
    creators = Vocabularies.from_json(json.loads((folder / "words.json").read_text())).creators
    return [int(code) for code in creators.codes(pl.Series(["ann", "bob"]))]


@pytest.mark.parametrize("remote", [False, True])
def test_in_the_lake_and_in_the_artifacts(
    tower: TrainedTwoTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, remote: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # a tracking database of one's own keeps artifacts in the working directory
    home = Lake(tmp_path / "lake")
    home.folder.mkdir()
    tracking = MlflowLogger(Settings(mlflow_tracking_uri=f"sqlite:///{tmp_path}/other.db" if remote else ""), home)
    export(tower, tmp_path / "two_tower")
    for _ in range(2):
        interface = item_tower_interface(tower.vector_size)
        register(tracking, tracking.start("retrieval"), "two_tower", tmp_path / "two_tower", interface, "")
    day = datetime(2017, 3, 1, tzinfo=UTC).date()
    for table in ("two_tower", "champion"):
        with home.new_folder(table, day) as folder:
            export(tower, folder / "cut=1")
    assert forget_creators(home, tracking, ["unknown"]) == 0
    assert forget_creators(home, tracking, ["ann"]) == 4
    assert forget_creators(home, tracking, ["ann"]) == 0
    copies = [path.parent for path in tmp_path.rglob("words.json") if path.parent != tmp_path / "two_tower"]
    assert len(copies) == 4
    for copy in copies:
        assert codes(copy)[0] == 0
        assert codes(copy)[1] > 0
        load(copy)
