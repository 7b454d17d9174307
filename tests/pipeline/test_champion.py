"""The release that serves is measured by models that have not seen what a night holds out."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts.errors import ChampionAbsent
from models.two_tower import export
from pipeline.champion import DESCRIPTION, TABLE, read_champion
from pipeline.feature_assembly import read_ingested_tables, read_snapshot
from pipeline.lake import Lake
from pipeline.run_context import RunContext, open_run_context
from pipeline.stages.metrics import champion_of
from pipeline.stages.two_tower import folder_name
from pipeline.time_splits import midnight
from serving.releases import publish
from tests import tiny

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")
END = midnight(tiny.LAST_DAY)
WEEK = timedelta(days=7)
OTHER_LENGTH = "the serving release was trained on embeddings of another length"


@pytest.fixture
def lake(crossed: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(crossed, tmp_path / "lake"))


def night(lake: Path) -> RunContext:
    return open_run_context(str(lake), tiny.day())


def tomorrow(lake: Path) -> RunContext:
    """The night after the one whose release serves."""
    return open_run_context(str(lake), tiny.day(-1))


def kept(lake: Path) -> Path:
    return Path(Lake(lake).current(TABLE, tiny.day()))


def test_the_next_nights_see_the_models_of_the_measured_cutoff(crossed: Path) -> None:
    version = publish.current(crossed / "releases")
    for cutoff in (END - WEEK, END - WEEK + timedelta(days=1), END - timedelta(days=1)):
        champion = read_champion(tomorrow(crossed), cutoff)
        assert (champion.version, champion.cutoff) == (version, END - WEEK)


def test_a_night_that_runs_again_is_not_compared_with_itself(crossed: Path) -> None:
    with pytest.raises(ChampionAbsent, match="is of this night"):
        read_champion(night(crossed), END)


def test_a_week_later_the_release_itself_answers(crossed: Path) -> None:
    champion, release = read_champion(tomorrow(crossed), END), publish.load(crossed / "releases")
    assert champion.cutoff == END
    view = read_snapshot(night(crossed), read_ingested_tables(night(crossed)), END, champion.models.tower)
    np.testing.assert_allclose(view.items.vectors, release.items.vectors, atol=1e-6)
    uncalibrated = {"reasons": champion.models.ranking.reasons}
    assert champion.models.ranking == release.ranking.model_copy(update=uncalibrated), "reasons decide no list"


def test_an_earlier_night_has_no_champion(crossed: Path) -> None:
    with pytest.raises(ChampionAbsent, match="has learned from days that this night holds out"):
        read_champion(tomorrow(crossed), END - WEEK - timedelta(days=1))


def test_models_of_another_night_are_not_taken_for_the_releases(lake: Path) -> None:
    path = kept(lake) / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ranker": "0" * 64}))
    with pytest.raises(ChampionAbsent, match="a later night of the same day has replaced the models"):
        read_champion(tomorrow(lake), END)


def test_models_that_this_code_cannot_read_are_named(lake: Path) -> None:
    for path in kept(lake).glob("*.txt"):
        path.write_text("{}")
    with pytest.raises(ChampionAbsent, match="this code cannot read the serving release's models"):
        read_champion(tomorrow(lake), END)


def test_embeddings_of_another_length_than_the_champions_end_no_night(lake: Path) -> None:
    champion = read_champion(tomorrow(lake), END - WEEK)
    tower = champion.models.tower
    of_embeddings = replace(tower.text, idf=np.zeros(0, np.float32), components=np.zeros((0, 0), np.float32))
    export(replace(tower, text=of_embeddings), kept(lake) / folder_name(champion.cutoff))
    ingested = read_ingested_tables(tomorrow(lake))
    assert champion_of(tomorrow(lake), ingested) != OTHER_LENGTH
    longer = pl.Series([[1.0] * (tower.text.size + 1)] * len(ingested.items), dtype=pl.List(pl.Float32))
    changed = replace(ingested, items=ingested.items.with_columns(embedding=longer))
    assert champion_of(tomorrow(lake), changed) == OTHER_LENGTH


def test_no_release_and_a_release_without_models(lake: Path) -> None:
    shutil.rmtree(lake / TABLE)
    with pytest.raises(ChampionAbsent, match="left no models in this lake"):
        read_champion(tomorrow(lake), END)
    shutil.rmtree(lake / "releases")
    with pytest.raises(ChampionAbsent, match="no release serves yet"):
        read_champion(tomorrow(lake), END)
