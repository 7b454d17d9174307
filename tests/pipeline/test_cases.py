"""Small inputs that once failed, each with the outcome it must have, through public commands alone."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx
import polars as pl
import pytest

from tests import tiny
from tests.serving.http.test_server import free_port, wait_for

CASES = Path(__file__).parents[1] / "cases"
# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")


def run(*arguments: object, status: int = 0, **settings: str) -> str:
    """The output of a command, which must end with a status and without a traceback."""
    ended = tiny.tastefeed_here(*arguments, **settings)
    output = ended.stdout + ended.stderr
    assert ended.returncode == status, output[-3000:]
    assert "Traceback" not in output
    return output


def ingested(lake: Path, table: str) -> pl.DataFrame:
    """What an import left in the lake."""
    return pl.concat([pl.read_parquet(file) for file in sorted(lake.glob(f"landing/{table}/*.parquet"))])


@contextmanager
def served(lake: Path) -> Iterator[httpx.Client]:
    """A client of `tastefeed serve`."""
    port = free_port()
    command = tiny.command("serve", "--lake", lake, "--port", port)
    with subprocess.Popen(
        command, env=tiny.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz", process)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                yield client
        finally:
            process.terminate()


def feed(client: httpx.Client, user: str) -> dict:
    answer = client.get(f"/v1/users/{quote(user, safe='')}/home-feed?limit=200")
    assert answer.status_code == 200, answer.text
    return answer.json()


def item_ids(answer: dict) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def filled(name: str, folder: Path, **instants: datetime) -> Path:
    """A case's file with its instants of the moment of the test."""
    text = (CASES / name).read_text()
    for word, instant in instants.items():
        text = text.replace(f"@{word}@", instant.isoformat(timespec="seconds").removesuffix("+00:00"))
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("items", "settings"),
    [([], {}), (["--items", CASES / "items_bare.csv"], {"TASTEFEED_TWO_TOWER__ENCODER": "ridge"})],
)
def test_events_alone_are_enough_for_a_feed(tmp_path, items, settings):
    lake = tmp_path / "lake"
    run("import", "--events", CASES / "events_only.csv", *items, "--lake", lake)
    output = run("nightly", "--lake", lake, **settings)
    assert json.loads(run("releases", "show", "--lake", lake))["items"] == 80
    with served(lake) as client:
        assert client.get("/readyz").status_code == 200
        answer = feed(client, "u1")
    assert answer["items"]
    if answer["personalized"]:
        seen = set(pl.read_csv(CASES / "events_only.csv").filter(pl.col("user_id") == "u1")["item_id"])
        assert seen.isdisjoint(item_ids(answer))
    else:
        assert "non-profiled list" in output
        assert "TASTEFEED_GATES__" in output


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """After a night over the two files of unusual ids, one of which has opt-outs."""
    lake = tmp_path_factory.mktemp("ids") / "lake"
    events, opt_outs = CASES / "float_ids_events.csv", CASES / "float_ids_opt_outs.csv"
    output = run("import", "--events", events, "--opt-outs", opt_outs, "--lake", lake)
    assert "the .0 was dropped" in output
    run("import", "--events", CASES / "slash_ids_events.csv", "--lake", lake)
    run("nightly", "--lake", lake)
    return lake


class TestIdsWithSlashes:
    ITEM = "https://example.org/a/1"

    @pytest.mark.parametrize(("kind", "subject", "flag"), [
        ("user", "acct/0", "personalization"), ("item", ITEM, "recommendation"),
    ])  # fmt: skip
    def test_opt_out_by_http_and_by_command(self, lake, kind, subject, flag):
        with served(lake) as client:
            for opt_out, opt_in in (
                (self.http(client, "PUT"), self.command("clear")),
                (self.command("set"), self.http(client, "DELETE")),
            ):
                opt_out(lake, kind, subject, flag)
                state = client.get(f"/v1/opt-outs/{kind}/{quote(subject, safe='')}/{flag}")
                assert (state.status_code, state.json()["opted_out"]) == (200, True)
                assert "not opted out" not in run("opt-out", "show", kind, subject, "--lake", lake)
                self.holds(client, kind)
                opt_in(lake, kind, subject, flag)
                assert not client.get(f"/v1/opt-outs/{kind}/{quote(subject, safe='')}/{flag}").json()["opted_out"]
                assert self.ITEM in item_ids(feed(client, "acct/0"))
                assert client.get(f"/?user_id={quote('acct/0', safe='')}").status_code == 200

    @staticmethod
    def http(client, method):
        def call(_lake, kind, subject, flag):
            assert client.request(method, f"/v1/opt-outs/{kind}/{quote(subject, safe='')}/{flag}").status_code == 200

        return call

    @staticmethod
    def command(verb):
        def call(lake, kind, subject, flag):
            run("opt-out", verb, kind, subject, flag, "--lake", lake)

        return call

    def holds(self, client, kind):
        answer = feed(client, "acct/0")
        if kind == "item":
            assert self.ITEM not in item_ids(answer)
        else:
            assert (answer["personalized"], answer["reason"]) == (False, "opted_out")


def test_ids_written_as_floats(lake):
    events = ingested(lake, "events").filter(pl.col("item_id").is_in(["7", "8"])).sort("user_id")
    assert events["user_id"].to_list() == ["42", "43"]
    assert events["item_id"].to_list() == ["7", "8"]
    assert events["action"].to_list() == ["click", "save"]
    for spelling in ("42", " 42 ", "42.0"):
        assert "personalization  opted out" in run("opt-out", "show", "user", spelling, "--lake", lake)
    with served(lake) as client:
        for spelling in ("42", "42.0"):
            assert feed(client, spelling)["reason"] == "opted_out"
            assert client.get(f"/v1/opt-outs/user/{spelling}/personalization").json()["opted_out"]
        assert feed(client, "43")["reason"] != "opted_out"


def test_an_opt_out_of_a_local_clock_holds_at_once(tmp_path):
    lake = tmp_path / "lake"
    local = datetime.now(UTC) + timedelta(hours=9)
    output = run(
        "import", "--opt-outs", filled("local_time_opt_outs.csv", tmp_path, **{"NOW+9H": local}), "--lake", lake
    )
    assert "ahead" in output
    assert "personalization  opted out" in run("opt-out", "show", "user", "u1", "--lake", lake)


def test_one_bad_row_does_not_cost_the_batch(tmp_path):
    lake = tmp_path / "lake"
    run("init", "--lake", lake)
    with served(lake) as client:
        headers = {"Content-Type": "application/json"}
        for duplicates in (0, 2):
            answer = client.post("/v1/events", content=(CASES / "post_events.json").read_bytes(), headers=headers)
            assert answer.status_code == 200, answer.text
            receipt = answer.json()
            assert [(error["index"], error["reason"]) for error in receipt["errors"]] == [
                (0, "null_id"),
                (1, "bad_timestamp"),
            ]
            assert (receipt["accepted"], receipt["duplicates"]) == (2, duplicates)
            assert receipt["warnings"] == [r"unknown columns were kept out: \ud83d"]


def test_categories_as_a_json_list(tmp_path):
    run("import", "--items", CASES / "json_categories_items.csv", "--lake", tmp_path / "lake")
    items = ingested(tmp_path / "lake", "items").sort("item_id")
    assert items["categories"].to_list() == [["News", "Sport"], ["News", "Music"], None]


def test_embeddings_of_another_length_are_refused(tmp_path):
    lake = tmp_path / "lake"
    run("import", "--items", CASES / "embedding_3.jsonl", "--lake", lake)
    before = {path: path.read_bytes() for path in lake.rglob("*.parquet")}
    output = run("import", "--items", CASES / "embedding_4.jsonl", "--lake", lake, status=1)
    assert "3" in output.replace("embedding_3", "")
    assert "4" in output.replace("embedding_4", "")
    assert {path: path.read_bytes() for path in lake.rglob("*.parquet")} == before


def test_semicolons_between_columns(tmp_path):
    run("import", "--items", CASES / "semicolon_items.csv", "--lake", tmp_path / "lake")
    assert ingested(tmp_path / "lake", "items").sort("item_id")["title"].to_list() == ["One, two", "Three"]


def test_columns_and_actions_of_other_names(tmp_path):
    columns = {"visitorid": "user_id", "itemid": "item_id", "event": "action"}
    actions = {"view": "click", "addtocart": "save", "transaction": "save"}
    options = [part for theirs, ours in columns.items() for part in ("--map", f"{theirs}={ours}")]
    options += [part for theirs, ours in actions.items() for part in ("--action", f"{theirs}={ours}")]
    output = run("import", "--events", CASES / "retailrocket_events.csv", *options, "--lake", tmp_path / "lake")
    assert "refuses 0: none" in output
    events = ingested(tmp_path / "lake", "events")
    assert len(events) == 4
    assert events["timestamp"].dt.year().unique().to_list() == [2015]
    assert sorted(events["action"]) == ["click", "click", "save", "save"]


def test_the_folder_of_movielens_10m_is_ingested(tmp_path):
    run("import", "--from", "movielens", "--events", CASES / "ml-10m", "--lake", tmp_path / "lake")
    assert "Léon: The Professional (1994)" in ingested(tmp_path / "lake", "items")["title"].to_list()
    events = ingested(tmp_path / "lake", "events")
    assert events.filter(user_id="1", item_id="185")["action"].to_list() == ["click"]


def test_one_click_of_today_in_a_lake_of_last_year(tmp_path):
    lake = tmp_path / "lake"
    run("import", "--events", CASES / "events_only.csv", "--lake", lake)
    today = filled("one_click_today.csv", tmp_path, TODAY=datetime.now(UTC))
    run("import", "--events", today, "--lake", lake)
    output = run("nightly", "--lake", lake, status=1)
    last = pl.read_csv(CASES / "events_only.csv", try_parse_dates=True)["timestamp"].max()
    assert f"{datetime.now(UTC):%Y-%m-%d}" in output
    assert f"{last:%Y-%m-%d}" in output
    assert f"--as-of {last + timedelta(days=1):%Y-%m-%d}" in output
    assert "sessions" not in output
