"""People who touched the same, with numbers that a person can check."""

import numpy as np
import pytest

from models.two_tower.memory import MemoryConfig, fit, fit_memory
from models.two_tower.memory import neighbours as neighbours_module
from models.two_tower.memory import suits as suits_module
from models.two_tower.memory.config import NeighboursConfig
from models.two_tower.memory.neighbours import neighbours_of
from models.two_tower.memory.tower import alike
from models.two_tower.memory.trials import Trial
from tests.models.paths import blocks, of, unseen_scores

PEOPLE = of([0, 1], [1, 2], [2, 3, 4, 5], items=6)


@pytest.mark.parametrize("many", [0, 1])
def test_an_item_counts_what_its_people_are_close(many: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked with item 1: users 0 and 1 touched it, each has two items, and it has two users."""
    monkeypatch.setattr(neighbours_module, "MANY", many)
    config = NeighboursConfig(item_power=1.0, user_power=1.0, closeness_power=2.0, popularity_power=-1.0)
    (scores,) = neighbours_of(PEOPLE, config).scores(of([1], items=6))
    close = (1 / 2 / 2) ** 2
    assert scores == pytest.approx([close, 2 * close / 2, close / 2, 0, 0, 0])


def test_few_people_at_once_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours = neighbours_of(PEOPLE, NeighboursConfig())
    together = neighbours.scores(PEOPLE)
    monkeypatch.setattr(neighbours_module, "CLOSE_AT_ONCE", 3)
    assert neighbours.scores(PEOPLE) == pytest.approx(together)


def test_whoever_touched_nothing_has_no_neighbours() -> None:
    assert neighbours_of(PEOPLE, NeighboursConfig()).scores(of([], items=6)).tolist() == [[0] * 6]


def test_a_tower_and_its_neighbours_are_heard_by_their_share() -> None:
    config = MemoryConfig(embedding_size=2)
    alone = fit(PEOPLE, config, seed=7)
    both = fit(PEOPLE, config.changed({"neighbours": {"share": 0.25}}), seed=7)
    assert both.neighbours is not None
    wanted = 0.75 * alike(alone.scores(PEOPLE)) + 0.25 * alike(both.neighbours.scores(PEOPLE))
    assert both.scores(PEOPLE) == pytest.approx(wanted, abs=1e-5)
    assert both.scores(of([], items=6)).argmax() in (1, 2), "a stranger still gets what is popular"


def test_a_person_of_a_rare_taste_is_found_by_neighbours_where_the_space_is_too_small() -> None:
    """Eight pairs of items that go together, and room for one direction."""
    histories = of(*([2 * taste, 2 * taste + 1] for taste in range(8) for _ in range(3)), items=16)
    asked = of(*([2 * taste] for taste in range(8)), items=16)
    config = MemoryConfig(embedding_size=1)
    found = {
        share: np.mean(
            unseen_scores(fit(histories, config.changed({"neighbours": {"share": share}}), seed=7), asked).argmax(1)
            == 2 * np.arange(8) + 1
        )
        for share in (0.0, 0.5)
    }
    assert found[0.0] < 0.5
    assert found[0.5] == 1


@pytest.mark.parametrize(
    "asked", [{"ordered": True, "minutes": 1e-9}, {"ordered": False, "readouts": ["space", "ease", "bag"]}]
)
def test_neighbours_are_not_asked_where_order_tells_or_they_may_not_be(asked: dict[str, object]) -> None:
    tried = tried_on(**asked)
    assert not any(trial.config.neighbours.share for trial in tried)


def test_neighbours_are_not_asked_where_lists_for_everyone_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suits_module, "seconds_left", lambda _: -1.0)
    assert not any(trial.config.neighbours.share for trial in tried_on(ordered=False))


def test_neighbours_are_tried_beside_the_best_and_stay_where_validation_likes_them() -> None:
    tried = tried_on(ordered=False)
    alone, beside = (
        [trial for trial in tried if bool(trial.config.neighbours.share) is asked] for asked in (False, True)
    )
    assert {trial.config.readout for trial in beside} == {max(alone, key=lambda trial: trial.ndcg).config.readout}


def tried_on(**asked: object) -> list[Trial]:
    tried: list[Trial] = []
    fit_memory(blocks(), k=2, seed=7, on_trial=tried.append, **asked)
    return tried
