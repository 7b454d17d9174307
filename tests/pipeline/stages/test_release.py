"""What a release holds: with models, and where a night made none."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import NightFailed
from contracts.schemas import DERIVED
from pipeline.run_context import RunContext
from pipeline.stages.release import (
    answering_beside,
    fingerprint,
    no_users,
    popular_in_any_window,
    release,
    release_metrics,
    still_readable,
)
from ranking.feature_names import ITEM_FEATURE_NAMES
from serving.privacy.release_erasure import erase_users
from serving.releases import publish
from serving.releases.manifest import ReducedTo
from tests.pipeline.handmade_lake import END, ITEM_ROWS, handmade, recording, whole
from tests.ranking import worlds
from tests.serving.tiny import publish_tiny

ONE_DAY = timedelta(days=1)
REFUSAL = {
    "stage": "gates",
    "message": "the gates refuse the models of this night",
    "controls": [],
    "reduced_to": "non_profiled",
}


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    """A night whose models were refused: item features at its end, and no models."""
    night = handmade(tmp_path / "lake")
    features = [{"cut": END, "item_id": row["item_id"], "users_28d": 1} for row in ITEM_ROWS]
    night.overwrite("item_features", whole(features, DERIVED["item_features"]))
    night.write_summary("reduced", REFUSAL)
    return night


def test_a_night_without_models_publishes_items_and_no_user(
    night: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))  # no night would clean it after a kill
    mlflow = recording(night)
    summary = release(night)
    version = summary["version"]
    counts = {"version": version, "users": 0, "items": 5}
    serving = {"version": version, "why": "no readable release served before"}
    assert summary == counts | {"reduced_to": "non_profiled", "serves": "True", "serving": serving}
    served = publish.load(night.releases)
    assert (served.profiled, served.metrics["reduced"]["stage"]) == (False, "gates")
    assert (served.manifest.reduced_to, served.manifest.unmeasured) == ("non_profiled", True)
    assert mlflow.promoted == ()
    assert served.items.ids.tolist() == ["a", "b", "c", "d", "later"]
    assert not list(night.home.folder.glob("_scratch/*"))
    assert mlflow.ended == ["FAILED"], "the night's run in MLflow is that of its models"


def test_it_does_not_replace_a_release_with_models(night: RunContext, tmp_path: Path) -> None:
    publish_tiny(night.releases, tmp_path / "fits")
    before = publish.current(night.releases)
    with pytest.raises(NightFailed, match="the release is refused, the old one keeps serving: the gates refuse") as no:
        release(night)
    assert f"release {before} keeps serving: it has two-tower and re-ranker" in str(no.value)
    assert publish.current(night.releases) == before


def test_a_list_of_an_earlier_day_replaces_one_of_a_later_day_only_if_asked(night: RunContext, tmp_path: Path) -> None:
    later = publish_tiny(
        night.releases, tmp_path / "fits", as_of=END + ONE_DAY, ranker=None, reduced_to=ReducedTo.NON_PROFILED
    )
    recording(night)
    with pytest.raises(NightFailed, match=f"release {later.version} keeps serving: its as_of 2017-03-09 is later"):
        release(night)
    forced = replace(night, publish=True)
    recording(forced)
    summary = release(forced)
    assert summary["serves"] == "True"
    assert "--publish was given" in summary["serving"]["why"]


def test_the_revision_of_a_release_in_shadow_mode_is_kept_until_the_setting_names_it(
    night: RunContext, tmp_path: Path
) -> None:
    old, other = (publish_tiny(night.releases, tmp_path / "fits", as_of=END - days * ONE_DAY) for days in (9, 8))
    settings = night.settings.model_copy(update={"shadow_release": old.version})
    revised = erase_users(night.releases, ["user-1"])
    kept = answering_beside(replace(night, settings=settings))
    new = publish_tiny(night.releases, tmp_path / "fits", keep=1, kept=kept)
    assert [each.version for each in publish.list_releases(night.releases)] == [revised[old.version], new.version]
    assert revised[other.version] not in kept


def test_the_popular_items_are_those_of_the_first_window_with_any() -> None:
    items = worlds.items()
    assert popular_in_any_window(items)[0] == 2, "the item with most users of seven days"
    for days in (1, 7):
        items.features[:, ITEM_FEATURE_NAMES.index(f"users_{days}d")] = 0
    items.features[:, ITEM_FEATURE_NAMES.index("users_28d")] = [0, 9, 0, 0, 0]
    assert popular_in_any_window(items).tolist() == [1]
    items.features[:] = 0
    assert popular_in_any_window(items).tolist() == []


def test_no_users_are_arrays_of_no_rows() -> None:
    users = no_users()
    assert (len(users.ids), users.history_offsets.tolist(), users.features.shape[0]) == (0, [0], 0)


def test_users_that_opt_out_while_the_night_runs_are_left_out(night: RunContext) -> None:
    night.opt_outs.set("user", "hider", "personalization")
    night.opt_outs.set("user", "newcomer", "training")
    users = still_readable(night, worlds.users())
    assert users.ids.tolist() == ["ann", "newcomer"]
    assert users.history_offsets.tolist() == [0, 2, 2]


def test_the_metrics_of_a_release_are_those_of_its_night(night: RunContext) -> None:
    metrics = dict.fromkeys(("held_out", "users", "table", "intervals", "people", "items", "champion"), 1)
    gates = dict.fromkeys(("sentences", "not_judged", "verdicts", "thresholds", "judged"), 2)
    night.write_summary("metrics", metrics)
    night.write_summary("gates", gates)
    metrics_ = release_metrics(night)
    assert {name: metrics_[name] for name in ("methods", "gates", "judged")} == {"methods": 1, "gates": 2, "judged": 2}
    assert len(metrics_) == 12


def test_the_fingerprint_of_a_model_is_that_of_its_weights(tmp_path: Path) -> None:
    for folder, weights, note in (("one", b"1", "a"), ("same", b"1", "b"), ("other", b"2", "a")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "weights.safetensors").write_bytes(weights)
        (tmp_path / folder / "note.txt").write_text(note)
    one, same, other = (fingerprint(tmp_path / folder) for folder in ("one", "same", "other"))
    assert one == same != other
    assert len(one) == 12


def test_arrays_of_a_release_keep_their_types() -> None:
    assert no_users().history_items.dtype == np.int32
