"""A second look at the best items, with numbers that a person can check."""

import numpy as np
import pytest

from models.two_tower.memory import Histories, MemoryTwoTower, fit_memory
from models.two_tower.memory import validation as validation_module
from models.two_tower.memory.trees import ItemFacts, facts_of, look_at
from models.two_tower.memory.trials import Trial
from models.two_tower.memory.validation import hold_out
from tests.models.paths import of, unseen_scores

UNITS = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
FACTS = ItemFacts(UNITS, np.array([-1, -2, -3, -4], np.float32), mean_touches=2.0)
SCORES = np.array([[5, 2, 4, 1], [0, 3, 2, 1]], np.float32)


def test_trees_see_the_best_unseen_items_and_what_a_score_cannot_say() -> None:
    look = look_at(SCORES, of([0], [2, 0], items=4), FACTS, candidates=2)
    assert look.items_UC.tolist() == [[2, 1], [1, 3]]
    assert look.features_UCF[0] == pytest.approx(np.array([[1, 0, -3, -1, 0.5, 0], [-1, 1, -2, -1, 0.5, 0.6]]))
    assert look.features_UCF[1] == pytest.approx(np.array([[1.5, 0, -2, -2, 1, 0.8], [-0.5, 1, -4, -2, 1, 0]]))


def test_where_few_items_are_unseen_the_rest_are_marked() -> None:
    look = look_at(SCORES[:1], of([0, 1, 2], items=4), FACTS, candidates=3)
    assert look.items_UC[0, 0] == 3
    assert look.features_UCF[0, :, 0].tolist() == [-2, -np.inf, -np.inf]


def test_shares_of_touches_are_known_and_vectors_have_length_one() -> None:
    facts = facts_of(of([0, 1], [0], items=3), np.array([[3, 4, 9], [0, 0, 9], [0, 2, 9]], np.float32))
    assert facts.units_IV.ravel() == pytest.approx([0.6, 0.8, 0, 0, 0, 1])
    assert np.exp(facts.popularity_I) == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    assert facts.mean_touches == 1.5


def test_without_an_order_trees_are_tried_last_after_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = tried_on(people(), monkeypatch)
    looked = [trial for trial in tried if trial.config.trees.rounds]
    assert looked == tried[-1:]
    before = max(tried[:-1], key=lambda trial: trial.ndcg)
    assert looked[0].config.changed({"trees": {"rounds": 0}}) == before.config


@pytest.mark.parametrize("asked", [{"ordered": True}, {"ordered": False, "readouts": ["space"]}])
def test_no_second_look_where_order_tells_or_it_may_not_be(
    asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(trial.config.trees.rounds for trial in tried_on(people(), monkeypatch, minutes=1e-9, **asked))


def test_who_teaches_is_not_asked_and_they_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone has items of their own, so that people can be told apart."""
    monkeypatch.setattr(validation_module, "USERS_AT_MOST", 10)
    own = of(*(list(range(5 * person, 5 * person + 5)) for person in range(100)), items=500)
    held_out = hold_out(own, ordered=True, seed=7)
    assert (len(held_out.asked.histories.counts), len(held_out.teachers.histories.counts)) == (10, 90)
    assert not set(held_out.asked.histories.items) & set(held_out.teachers.histories.items)
    assert held_out.teachers.wanted.sum() == 90
    for most, taught in (("TEACHERS_AT_MOST", 45), ("TEACHERS_SCORES_AT_MOST", 500 * 45)):
        with monkeypatch.context() as bounded:
            bounded.setattr(validation_module, most, taught)
            assert len(hold_out(own, ordered=True, seed=7).teachers.histories.counts) == 45


def test_no_second_look_where_nobody_is_left_to_teach_it() -> None:
    tried: list[Trial] = []
    fit_memory(people(), k=2, seed=7, on_trial=tried.append, ordered=False)
    assert not any(trial.config.trees.rounds for trial in tried)


def test_the_same_seed_puts_the_same_best_items_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = fitted(monkeypatch)
    assert tower.trees is not None
    again = fitted(monkeypatch)
    asked = people().take(np.arange(50))
    assert (unseen_scores(tower, asked) == unseen_scores(again, asked)).all()
    before, after = tower.before_trees(asked), unseen_scores(tower, asked)
    seen = asked.pairs().toarray() > 0
    before[seen] = -np.inf
    top = tower.config.trees.candidates
    for one, other in zip(np.argsort(-before)[:, :top], np.argsort(-after)[:, :top], strict=True):
        assert set(one) == set(other), "the second look changes the order of the best and not who they are"


def test_nobody_has_no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitted(monkeypatch).scores(people().take(np.arange(0))).shape == (0, 300)


def test_a_stranger_still_gets_what_is_popular(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = fitted(monkeypatch)
    stranger = of([], items=people().item_count)
    assert tower.scores(stranger).argmax() == tower.before_trees(stranger).argmax()


def fitted(monkeypatch: pytest.MonkeyPatch) -> MemoryTwoTower:
    monkeypatch.setattr(validation_module, "USERS_AT_MOST", 100)
    return fit_memory(people(), k=5, seed=7, ordered=False)


def tried_on(histories: Histories, monkeypatch: pytest.MonkeyPatch, **asked: object) -> list[Trial]:
    monkeypatch.setattr(validation_module, "USERS_AT_MOST", 100)
    tried: list[Trial] = []
    fit_memory(histories, k=5, seed=7, on_trial=tried.append, **{"ordered": False, **asked})
    return tried


def people() -> Histories:
    """Six hundred with two tastes each: items of thirty tastes, and the more popular ones of each taste first."""
    random = np.random.default_rng(5)
    weights = 1 / np.arange(1, 11) ** 0.7
    told = []
    for _ in range(600):
        tastes = random.choice(30, 2, replace=False)
        drawn = [taste * 10 + random.choice(10, 5, replace=False, p=weights / weights.sum()) for taste in tastes]
        told.append(random.permutation(np.concatenate(drawn)).tolist())
    return of(*told, items=300)
