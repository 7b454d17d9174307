"""The encoder is selected once a night, and every later cutoff continues it."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from models.two_tower import load
from pipeline.lake import Lake
from tests import tiny

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
