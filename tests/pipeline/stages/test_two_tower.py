"""The encoder is selected once a night, and every later cutoff continues it."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakSet

import pytest
from mlflow import MlflowClient

from contracts.schemas import DERIVED, ITEMS
from models.two_tower import TwoTowerConfig, load
from pipeline.ingestion.landing_zone import store_batch
from pipeline.lake import Lake
from pipeline.run_context import RunContext
from pipeline.stages.two_tower import load_tower, two_tower
from tests import tiny
from tests.pipeline.handmade_lake import CUTOFF, END, handmade, recording, whole

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")


def folders(lake: Path) -> list[Path]:
    """The towers of each cutoff that had anything to learn from, oldest first."""
    return sorted(Path(Lake(lake).current("two_tower", tiny.day())).glob("cut=*"))


def manifests(lake: Path) -> list[dict]:
    return [json.loads((folder / "manifest.json").read_text()) for folder in folders(lake)]


def test_every_cutoff_has_the_encoder_of_one_selection(crossed: Path) -> None:
    towers = manifests(crossed)
    assert len(towers) > 2
    assert all(each["selection"] == towers[0]["selection"] for each in towers), "selected once, at the first cutoff"
    assert all(each["encoder"]["kind"] == towers[0]["encoder"]["kind"] for each in towers)
    selection = towers[0]["selection"]
    assert selection["selected"] in selection["encoders"]
    assert set(selection["baselines"]) == {"most_popular", "item_knn", "ials"}


def test_the_selection_is_in_the_summary_and_in_mlflow(crossed: Path) -> None:
    selected = manifests(crossed)[0]["selection"]["selected"]
    assert f"encoder {selected}" in (crossed / "printed.txt").read_text()
    client = MlflowClient(f"sqlite:///{crossed}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("nightly").experiment_id])
    retrieval = next(run for run in runs if run.info.run_name == "retrieval")
    assert retrieval.data.params["selection.selected"] == selected


def test_a_loaded_tower_has_its_selection(crossed: Path) -> None:
    assert load(folders(crossed)[-1]).encoder_name == manifests(crossed)[-1]["selection"]["selected"]


def test_the_release_manifest_names_the_encoder(crossed: Path) -> None:
    published = [json.loads(path.read_text()) for path in (crossed / "releases").glob("*/manifest.json")]
    assert published
    assert {each["encoder"] for each in published} == {manifests(crossed)[-1]["selection"]["selected"]}


def test_of_the_earlier_models_only_the_last_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night, living, most = handmade(tmp_path), WeakSet(), []

    class Model:
        epochs, anew, vector_size = (1, 2), True, 8

    def walk_forward(*_: object) -> Iterator[tuple[datetime, Model]]:
        for weeks in range(5):
            living.add(model := Model())
            most.append(len(living))
            yield CUTOFF + weeks * WEEK, model
            yield CUTOFF + weeks * WEEK, model  # a cutoff without examples

    for name, function in {
        "walk_forward": walk_forward,
        "export": lambda *_: None,
        "selection_summary": lambda _: {},
        "log_training": lambda _, epochs, __: {"epochs": epochs},
    }.items():
        monkeypatch.setattr(f"pipeline.stages.two_tower.{name}", function)
    summary = two_tower(night)
    assert most == [1, 2, 2, 2, 2]
    assert (summary["cutoffs"], summary["epochs"], summary["trained_anew"]) == (10, 10, 5)
    assert summary["registered"] == {"epochs": [1, 2] * 5}


WEEK = timedelta(days=7)


@pytest.fixture
def aging(tmp_path: Path) -> RunContext:
    """Two cutoffs with the same histories: at the first no item has an age, at the second three new items have one."""
    night = handmade(tmp_path)
    store_batch("items", whole([{"item_id": f"old{row}"} for row in range(20)], ITEMS), tmp_path, END)
    histories = [
        {
            "cut": cut,
            "user_id": f"u{user}",
            "item_ids": [f"old{(user + step) % 20}" for step in range(5)],
            "actions": ["click"] * 5,
            "timestamps": [cut - timedelta(hours=5 - step, minutes=user) for step in range(5)],
            "trainable": True,
        }
        for cut in (CUTOFF - WEEK, CUTOFF)
        for user in range(120)
    ]
    night.overwrite("retrieval_examples", whole(histories, DERIVED["retrieval_examples"]))
    small = TwoTowerConfig(encoder="content", embedding_size=8, epochs=4, patience=4, refit_epochs=1)
    splits, config = replace(night.splits, publishes=False), night.config.model_copy(update={"two_tower": small})
    return replace(night, splits=splits, config=config)


def test_a_model_that_cannot_be_continued_is_trained_anew_with_its_selection_and_a_warning(
    aging: RunContext, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow = recording(aging)
    with caplog.at_level(logging.WARNING):
        summary = two_tower(aging)
    assert (summary["cutoffs"], summary["trained_anew"]) == (2, 1)
    assert [record.message for record in caplog.records if record.name == "pipeline.stages.two_tower"] == [
        "the model of 2017-03-01 is trained anew, because the one before cannot be continued: start: users.age.weight "
        "does not fit (17, 16); continue with the config and columns of the start, or train anew"
    ]
    with aging.lake.open_folder("two_tower", aging.splits.as_of) as folder:
        before, after = (load_tower(folder, cutoff) for cutoff in aging.splits.cutoffs)
    assert after.selection == before.selection is not None
    assert (before.vector_size, after.vector_size) == (8, 8 + 17), "the later one has columns of ages"
    assert len(mlflow.logged["loss"]) == 2 * (4 + 1), "epochs with validation and without, at each cutoff"
