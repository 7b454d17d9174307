"""A night without models, on a lake too poor for the gates: the non-profiled list is published, with the reason."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from fastapi.testclient import TestClient
from filelock import FileLock

from contracts import Settings
from contracts.errors import ChampionAbsent, ReleaseNotProfiled, UntrainableInput
from evaluation.gate_config import GateConfig
from pipeline.airflow_tasks import run_task
from pipeline.as_of_day import choose_as_of
from pipeline.champion import read_champion
from pipeline.ingestion import ImportRequest, import_files
from pipeline.lake import Lake
from pipeline.local_runner import announce_shortage
from pipeline.model_refusals import controlled_by
from pipeline.run_context import RunContext, open_run_context
from pipeline.stage_runner import run_stage
from pipeline.stages import STAGE_NAMES
from pipeline.stages.gates import judged_release_serves
from pipeline.time_splits import backtest_splits
from serving.http.app import create_app
from serving.privacy.release_erasure import erase_users
from serving.releases import publish
from serving.releases.manifest import Manifest, ReducedTo
from serving.stores.event_store import EventStore
from tests import tiny
from tests.serving.tiny import publish_tiny

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")
UNREACHABLE = {"TASTEFEED_GATES__MIN_GAIN": "0.9"}
MARCH = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after a night that the gates refused, run by the command line. Before it, the list of a later day serves,
    and `--publish` replaces it. Copy it to change it."""
    lake = tmp_path_factory.mktemp("refused") / "lake"
    with FileLock(lake.parent / "lock"):
        tiny.ingest(lake)
        assert tiny.tastefeed_here("init", "--lake", lake).returncode == 0
        later = datetime(2018, 1, 1, tzinfo=UTC)
        publish_tiny(
            lake / "releases", lake.parent / "builds", as_of=later, ranker=None, reduced_to=ReducedTo.NON_PROFILED
        )
        night = tiny.tastefeed_here("nightly", "--publish", "--lake", lake, "--as-of", tiny.day(), **UNREACHABLE)
        (lake / "printed.txt").write_text(night.stdout + night.stderr)
        assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
    return lake


@pytest.fixture
def lake(refused: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(refused, tmp_path / "lake"))


@pytest.fixture
def client(lake: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(lake=str(lake))), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in tiny.FAST.items():
        monkeypatch.setenv(name, value)


def test_the_last_lines_name_the_gate_its_setting_and_what_serves(refused: Path) -> None:
    output = (refused / "printed.txt").read_text()
    version = publish.current(refused / "releases")
    ending = output[output.index("feed of all users") :]
    assert "gate final_beats_newest_first: " in ending
    assert 'TASTEFEED_GATES__MUST_BEAT (now ["newest_first", "popular_1d", "popular_7d", "popular_28d"])' in ending
    assert "TASTEFEED_GATES__MIN_GAIN (now 0.9)" in ending
    assert output.startswith(f"as_of {tiny.day()}: ")
    assert printed_lines(ending)[-1].startswith(
        f"release {version} serves {refused}/releases, with only the non-profiled"
    )
    assert "--publish was given, although its as_of is earlier than 2018-01-01" in ending
    assert "keeps serving" not in output
    assert "Traceback" not in output
    assert "-zq" not in output, "a user id was printed"


def printed_lines(text: str) -> list[str]:
    """The lines about releases."""
    return [line for line in text.splitlines() if line.startswith("release ")]


def test_the_release_holds_no_model_and_no_user(refused: Path) -> None:
    root = refused / "releases"
    manifest = publish.verify(root)
    assert manifest.profiled is False
    assert {"index.faiss", "ranker.txt", "ranking.json"}.isdisjoint(manifest.files)
    release = publish.load(root)
    assert len(release.users.ids) == 0
    assert len(release.lookups.fallback.rows) == tiny.ITEMS
    assert release.metrics["reduced"]["stage"] == "gates"
    assert (manifest.reduced_to, manifest.unmeasured) == ("non_profiled", True)
    with pytest.raises(ReleaseNotProfiled, match="holds no models; run a night that passes its gates"):
        _ = release.index


def test_manifests_from_before_are_profiled(crossed: Path) -> None:
    manifest = publish.show(crossed / "releases")
    before = manifest.model_dump_json(exclude={"profiled", "reduced_to", "unmeasured"})
    assert Manifest.model_validate_json(before).profiled is True
    assert Manifest.model_validate_json(before).reduced_to is None
    assert Manifest.model_validate_json(before).with_version().version == manifest.version


def test_each_user_gets_the_list_over_http(client: TestClient, refused: Path) -> None:
    feed = client.get(f"/v1/users/{tiny.name(0)}/home-feed?limit=5").json()
    assert (feed["personalized"], feed["reason"], len(feed["items"])) == (False, "release_not_profiled", 5)
    assert feed["reduced_to"] == "non_profiled"
    assert {item["source"] for item in feed["items"]} == {"fresh", "popular"}
    other = client.get("/v1/users/never-seen/home-feed?limit=5").json()
    assert [item["item_id"] for item in other["items"]] == [item["item_id"] for item in feed["items"]]
    current = client.get("/v1/releases/current").json()
    assert (current["profiled"], current["version"]) == (False, publish.current(refused / "releases"))
    assert (current["reduced_to"], current["unmeasured"]) == ("non_profiled", True)
    assert client.get("/readyz").status_code == 200
    assert client.get(f"/?user={tiny.name(0)}").status_code == 200


def test_a_page_follows_another(client: TestClient) -> None:
    first = client.get("/v1/users/u/home-feed?limit=40").json()
    second = client.get("/v1/users/u/home-feed", params={"limit": 40, "cursor": first["cursor"]}).json()
    ids = [item["item_id"] for item in (*first["items"], *second["items"])]
    assert len(ids) == len(set(ids)) == tiny.ITEMS


def test_opt_outs_of_items_and_creators_hold_in_it(client: TestClient) -> None:
    newest = client.get("/v1/users/u/home-feed?limit=1").json()["items"][0]["item_id"]
    assert client.put(f"/v1/opt-outs/item/{newest}/recommendation").status_code == 200
    assert client.put("/v1/opt-outs/creator/bob/recommendation").status_code == 200
    assert client.put("/v1/opt-outs/user/me/personalization").status_code == 200
    items = client.get("/v1/users/u/home-feed?limit=100").json()["items"]
    assert newest not in {item["item_id"] for item in items}
    assert {item["creator_id"] for item in items} == {"ann", *tiny.MADE_BY.values()}
    assert client.get("/v1/users/me/home-feed").json()["reason"] == "opted_out"


def test_recommend_writes_the_list_for_all_ingested_users(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    assert tiny.tastefeed_here("recommend", "--lake", lake, "--k", 3, "--out", out).returncode == 0
    lists = pq.read_table(out)
    assert len(set(lists["user_id"].to_pylist())) == tiny.USERS
    assert len(lists) == 3 * tiny.USERS
    user_file = tmp_path / "users.csv"
    user_file.write_text("user_id\nsome-user\n")
    assert tiny.tastefeed_here("recommend", "--lake", lake, "--users", user_file, "--out", out).returncode == 0
    assert set(pq.read_table(out)["user_id"].to_pylist()) == {"some-user"}


def test_it_is_no_champion_and_was_not_judged(refused: Path) -> None:
    tomorrow = open_run_context(str(refused), tiny.day(-1))
    with pytest.raises(ChampionAbsent, match="the release that serves has only the non-profiled list"):
        read_champion(tomorrow, tomorrow.splits.end)
    assert not judged_release_serves(tomorrow)


def test_releases_list_labels_it(lake: Path) -> None:
    version = publish.current(lake / "releases")
    assert (
        f"* {version}  as of {tiny.day()}, not profiled, unmeasured"
        in tiny.tastefeed_here("releases", "list", "--lake", lake).stdout
    )


def test_a_creator_who_asks_to_be_forgotten_leaves_it(lake: Path) -> None:
    root = lake / "releases"
    renamed = erase_users(root, ["ann"])
    assert list(renamed.values()) == [publish.current(root)]
    release = publish.load(root)
    assert release.profiled is False
    assert set(release.catalogue["creator_id"].to_pylist()) == {None, "bob", *tiny.MADE_BY.values()}


def test_the_run_in_mlflow_names_the_stage_that_refused(refused: Path) -> None:
    night = open_run_context(str(refused), tiny.day())
    run = night.mlflow.client.get_run(night.mlflow_run)
    assert run.info.status == "FAILED"
    assert run.data.tags["refused_by"] == "gates"


def test_the_next_night_that_passes_replaces_it_and_a_refused_one_then_leaves_it_alone(
    lake: Path, monkeypatch: pytest.MonkeyPatch, fast: None, spark: object
) -> None:
    first = publish.current(lake / "releases")
    for stage in STAGE_NAMES[STAGE_NAMES.index("gates") :]:
        run_task(stage, str(lake), tiny.day().isoformat())  # the gate's setting was changed, the task cleared
    served = publish.show(lake / "releases")
    assert served.profiled
    assert served.version != first
    monkeypatch.setenv(*next(iter(UNREACHABLE.items())))
    with pytest.raises(
        AirflowFailException, match=r"the old one keeps serving.*TASTEFEED_GATES__MIN_GAIN \(now 0\.9\)"
    ):
        run_task("gates", str(lake), tiny.day().isoformat())
    assert publish.current(lake / "releases") == served.version


def ingest(lake: Path, *rows: tuple[str, str, str, float]) -> date:
    """Ingest events of user, item, action and hours since March; returns the day after the last."""
    frame = pl.DataFrame(
        [(user, item, action, MARCH + timedelta(hours=hours)) for user, item, action, hours in rows],
        schema=["user_id", "item_id", "action", "timestamp"],
        orient="row",
    )
    lake.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(lake.parent / "events.parquet")
    import_files(ImportRequest(events=[lake.parent / "events.parquet"]), lake_root=lake, landed_at=datetime.now(UTC))
    last: datetime = frame["timestamp"].max()  # type: ignore[assignment]
    return (last + timedelta(days=1)).date()


@pytest.mark.parametrize(
    ("rows", "items"),
    [
        pytest.param([(f"u{n % 5}", f"i{n % 7}", "click", n / 20) for n in range(300)], 7, id="one day of five users"),
        pytest.param([(f"u{n % 5}", f"i{n % 7}", "impression", n) for n in range(300)], 7, id="no user clicks"),
    ],
)
def test_a_lake_with_too_little_to_train_on_gets_the_list(
    tmp_path: Path, fast: None, spark: object, rows: list[tuple[str, str, str, float]], items: int
) -> None:
    lake = tmp_path / "lake"
    as_of = ingest(lake, *rows).isoformat()
    for each in STAGE_NAMES:
        run_task(each, str(lake), as_of)
    night = open_run_context(str(lake), date.fromisoformat(as_of))
    refusal = night.summary("reduced")
    assert (refusal["stage"], refusal["error"]) == ("events", "UntrainableInput")
    assert refusal["message"].startswith("there is too little data for models: ")
    assert "TASTEFEED_GATES__MIN_USERS (now 20)" in " ".join(refusal["controls"])
    for skipped in ("user_features", "retrieval_examples", "two_tower", "metrics"):
        assert night.summary(skipped)["skipped"] == "events refused"
    release = publish.load(night.releases)
    assert (release.profiled, len(release.lookups.fallback.rows)) == (False, items)
    assert (release.manifest.reduced_to, release.manifest.unmeasured) == ("non_profiled", True)
    assert not any(user.encode() in json.dumps(refusal).encode() for user, *_ in rows)


def test_a_second_such_night_brings_a_newer_list(tmp_path: Path, fast: None, spark: object) -> None:
    lake = tmp_path / "lake"
    days = [ingest(lake, ("u1", "i1", "click", 1)), ingest(lake, ("u2", "i2", "save", 30))]
    for day in days:
        for stage in STAGE_NAMES:
            run_task(stage, str(lake), day.isoformat())
    release = publish.load(lake / "releases")
    assert (release.profiled, release.manifest.as_of.date()) == (False, days[1])
    assert set(release.items.ids) == {"i1", "i2"}


def test_a_site_that_only_posts_events_gets_its_list(tmp_path: Path, fast: None, spark: object) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    posts = [("u1", "i1", MARCH), ("u2", "i2", MARCH + timedelta(hours=30))]
    rows = [{"user_id": user, "item_id": item, "action": "click", "timestamp": at} for user, item, at in posts]
    settings = Settings(lake=str(lake))
    EventStore(settings.events_dsn).add(rows)
    day = choose_as_of(Lake(str(lake)), None, settings).day
    announce_shortage(open_run_context(str(lake), day))
    for stage in STAGE_NAMES:
        run_task(stage, str(lake), day.isoformat())
    release = publish.load(lake / "releases")
    assert (release.manifest.as_of, set(release.items.ids)) == (MARCH + timedelta(days=2), {"i1", "i2"})


def test_no_user_may_be_read_and_nothing_is_left_to_show(tmp_path: Path, fast: None, spark: object) -> None:
    lake = tmp_path / "lake"
    day = ingest(lake, ("u1", "i1", "click", 1))
    night = open_run_context(str(lake), day)
    night.opt_outs.create()
    night.opt_outs.set("user", "u1", "personalization")
    for stage in STAGE_NAMES:
        run_stage(night, stage)
    assert len(publish.load(night.releases).items.ids) == 0


def test_a_backtest_measures_or_fails(tmp_path: Path, fast: None, spark: object) -> None:
    lake = tmp_path / "lake"
    published = open_run_context(str(lake), ingest(lake, ("u1", "i1", "click", 1)))
    published.opt_outs.create()
    splits = backtest_splits(published.splits.as_of, weeks=1, holdout_days=7, label_weeks=2)
    night = RunContext(published.home, published.home, splits, published.settings, published.config)
    night.write_summary("forget", {"mlflow_run": night.mlflow.start("backtest")})
    for stage in STAGE_NAMES[1 : STAGE_NAMES.index("two_tower")]:
        run_stage(night, stage)
    with pytest.raises(UntrainableInput):
        run_stage(night, "two_tower")
    assert night.summary("reduced") == {}


@pytest.mark.parametrize(
    ("gate", "fields"),
    [
        ("two_tower_beats_item_knn", ["RETRIEVAL_MUST_BEAT", "MIN_GAIN", "MAX_LOSS"]),
        ("reranked_beats_two_tower", ["RERANKED_MUST_BEAT", "MIN_GAIN", "MAX_LOSS"]),
        ("final_beats_popular_7d", ["MUST_BEAT", "MIN_GAIN", "MAX_LOSS"]),
        ("index_recall", ["MIN_INDEX_RECALL"]),
        ("enough_users", ["MIN_USERS"]),
        ("keeps_up_with_champion", ["MAX_CHAMPION_LOSS"]),
        ("language_keeps_up", ["JUDGED_SLICES", "MAX_SLICE_LOSS", "MIN_SLICE_USERS"]),
    ],
)
def test_each_gate_names_the_settings_that_control_it(gate: str, fields: list[str]) -> None:
    named = controlled_by(gate, GateConfig())
    assert [f"TASTEFEED_GATES__{field} (now " in named for field in fields] == [True] * len(fields)
    assert named.count("TASTEFEED_GATES__") == len(fields)


def test_a_gate_without_a_setting_is_reported_as_such() -> None:
    assert controlled_by("finite_metrics", GateConfig()) == "no setting controls it"
