"""The benchmark of impressions, in a small world and on a small log."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.bandit_policies import UNIFORM, policy_estimates
from benchmarks.impression_benchmark import change, measured
from benchmarks.impression_report import write_report
from benchmarks.impression_simulation import NO_FATIGUE, Arm, Assumptions, World
from benchmarks.open_bandit import clicks_per_thousand, estimates
from contracts.errors import UnreadableInput
from evaluation.bootstrap import Interval
from ranking.fatigue import FatigueConfig
from serving.exploration import ExplorationConfig

SMALL = Assumptions(users=8, items=30, creators=10, sessions=4, page=5, mean_log_odds=-1)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two items: the random policy shows both alike, `bts` shows the better one three times of four."""
    folder = tmp_path_factory.mktemp("logs")
    rows = [
        *(("bts", at, 1, position, 1, 0.75) for at, position in ((0, 1), (1, 2), (5, 1))),
        ("bts", 2, 0, 2, 0, 0.25),
        *(("random", 6, item, position, int(item == 1), 0.5) for item in (0, 1) for position in (1, 2)),
    ]
    columns = ["policy", "timestamp_us", "item_id", "position", "click", "propensity_score"]
    log = pl.DataFrame(rows, schema=columns, orient="row")
    for campaign in ("men", "women"):
        log.write_parquet(folder / f"{campaign}.parquet")
    return folder


def test_inverse_propensities_give_the_rate_of_the_other_policy(logs: Path) -> None:
    rates = {each.name: each.rate.mean for each in estimates(logs) if each.campaign == "men"}
    assert rates["random policy, its own log"] == 500  # of 1,000
    assert rates["random policy, from the log of bts without weights"] == 750
    assert rates["random policy, from the log of bts by inverse propensity"] == pytest.approx(500)
    assert rates["position 1, random policy"] == rates["position 2, random policy"] == 500


def test_a_policy_that_learned_which_item_is_clicked_has_more_clicks_than_a_uniform_one(logs: Path) -> None:
    found = {each.learns: each for each in policy_estimates(logs) if each.campaign == "men"}
    assert found[UNIFORM].ips.mean == found[UNIFORM].snips.mean == 500
    assert found["clicks"].snips.mean > 505
    assert found["clicks"].gain.mean == 0
    assert found["positions"].learns == "positions"


def test_a_normalized_rate_is_certain_where_every_impression_is_clicked() -> None:
    """By inverse propensity it is not, because the mean weight varies."""
    weights = np.array([0.25, 0.5, 2.0, 4.0])
    assert clicks_per_thousand(np.ones(4), weights=weights) == Interval(1000, 1000, 1000)
    assert clicks_per_thousand(weights / weights.mean()).low < 1000


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"men\.parquet: no such file; give the folder"):
        estimates(tmp_path)


def test_fatigue_shows_more_items_and_the_same_world_is_the_same() -> None:
    world, curve = World(SMALL), FatigueConfig(discount=0.5, limit=3)
    without, tired = world.run(Arm("off", NO_FATIGUE)), world.run(Arm("on", curve))
    assert (tired.impressions > 0).sum() > (without.impressions > 0).sum()
    assert without.impressions.sum() == tired.impressions.sum() == 8 * 4 * 5
    np.testing.assert_array_equal(World(SMALL).run(Arm("again", curve)).clicks, tired.clicks)


def test_explored_places_go_to_new_items() -> None:
    world = World(SMALL)
    outcome = world.run(Arm("two", exploration=ExplorationConfig(slots=2), learns="positions"))
    assert 0 < outcome.explored <= 8 * 4 * 2
    shown = outcome.impressions.sum(axis=0)
    assert shown[world.is_new].sum() >= outcome.explored


def test_a_change_is_relative_to_the_other_arm() -> None:
    clicks = np.array([[1.0, 2], [2, 1]])  # three of each user
    assert change("", "", 1.5 * clicks, clicks).relative == "+50.0 % [+50.0, +50.0]"


def test_the_page_and_the_figures_are_written(tmp_path: Path, logs: Path) -> None:
    results = measured(data=logs, assumptions=SMALL)
    page = write_report(results, tmp_path / "out", "tastefeed bench impressions").read_text()
    assert "**10%, limit 10**" in page
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Fatigue", "## Positions", "## Exploration", "## Open Bandit logs",
        "## Policies learned with positions from Open Bandit logs",
    ]  # fmt: skip
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["assumptions"]["users"] == 8
    assert len(figures["open_bandit"]) == 2 * 5
