"""What a fit may cost is counted beforehand: larger data, smaller trainings; never other ones on a busy machine."""

import numpy as np
import pytest
import torch

from tastefeed.contracts.errors import UntrainableInput
from tastefeed.models.two_tower.memory import Histories, MemoryTwoTower, fit_memory, histories_of
from tastefeed.models.two_tower.memory import budget as budget_module
from tastefeed.models.two_tower.memory import choice as choice_module
from tastefeed.models.two_tower.memory.budget import MINUTES, Budget, seconds_of_space, training_minutes
from tastefeed.models.two_tower.memory.config import AttentionConfig, BagConfig
from tastefeed.models.two_tower.memory.trials import Trial
from tests.models.paths import blocks, wanderers

ATTENTION = AttentionConfig(epochs=12, fewest_steps=1)


@pytest.fixture(params=[torch.float32, torch.bfloat16], autouse=True)
def _precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "half", lambda: request.param)


def people(count: int, items: int, touches: int = 5) -> Histories:
    random = np.random.default_rng(0)
    rows = np.repeat(np.arange(count), touches)
    return histories_of(rows, random.integers(items, size=len(rows)), users=count, items=items)


def test_a_budget_that_suffices_changes_nothing() -> None:
    within = Budget(people(1000, 500), seconds=600)
    assert within.bag(BagConfig()) == BagConfig()
    assert within.attention(ATTENTION) == ATTENTION


def test_four_times_the_people_have_a_quarter_of_the_dimensions_or_passes() -> None:
    few, many = people(20_000, 2000), people(80_000, 2000)
    sizes = BagConfig(embedding_size=1024)
    enough = Budget(few, seconds=0).seconds_of_bag(sizes, 1024)
    assert Budget(few, enough).bag(sizes) == sizes
    smaller = Budget(many, enough * 1.01).bag(sizes)
    assert smaller is not None
    assert smaller.embedding_size == 256
    enough = 12 * Budget(few, seconds=0).seconds_of_epoch(ATTENTION)
    assert Budget(few, enough * 1.01).attention(ATTENTION) == ATTENTION
    assert Budget(many, enough * 1.01).attention(ATTENTION).epochs == 3


def test_a_transformer_of_few_passes_goes_without_dropout() -> None:
    past = people(20_000, 2000)
    a_pass = Budget(past, seconds=0).seconds_of_epoch(ATTENTION)
    few, more = (Budget(past, passes * a_pass * 1.01).attention(ATTENTION) for passes in (5, 6))
    assert (few.epochs, few.dropout) == (5, 0)
    assert (more.epochs, more.dropout) == (6, ATTENTION.dropout)


def test_a_bag_of_too_few_dimensions_is_none_and_attention_passes_once_at_least() -> None:
    hurried = Budget(people(20_000, 2000), seconds=0.01)
    assert hurried.bag(BagConfig()) is None
    assert hurried.attention(ATTENTION).epochs == 1


def test_a_large_space_costs_more() -> None:
    histories = people(1000, 500)
    assert seconds_of_space(histories, 16) < seconds_of_space(histories, 64) < seconds_of_space(people(9000, 500), 64)


def test_the_training_budget_grows_with_the_rows_up_to_the_shipped_minutes() -> None:
    few, many = people(15_000, 500), people(200_000, 2000, touches=5)
    assert training_minutes(few) == pytest.approx(2.6)
    assert training_minutes(many) == MINUTES


def trials_of(histories: Histories, **asked: object) -> tuple[MemoryTwoTower, list[Trial]]:
    tried: list[Trial] = []
    return fit_memory(histories, k=2, seed=7, on_trial=tried.append, **asked), tried


def test_without_time_nothing_much_is_trained() -> None:
    tower, tried = trials_of(wanderers(), ordered=True, minutes=1e-9)
    (attention,) = [trial.config.attention for trial in tried if trial.config.readout == "attention"]
    assert attention.epochs == 1
    assert tower.embed_items().shape[0] == 12


def test_only_a_bag_and_no_time_for_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "SMALLEST", 1)
    with pytest.raises(UntrainableInput, match="none of the readouts bag"):
        trials_of(blocks(), ordered=False, readouts=["bag"], minutes=1e-9)


def test_a_bag_is_chosen_with_fewer_dimensions_than_it_has_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "SMALLEST", 1)
    monkeypatch.setattr(choice_module, "merit", lambda trial: trial.config.readout == "bag")
    histories, sizes = blocks(), BagConfig()
    minutes = 3 / 60 * Budget(histories, 0).seconds_of_bag(sizes, histories.item_count // 2)
    tower, tried = trials_of(histories, ordered=False, readouts=["ease", "bag"], minutes=1.01 * minutes)
    assert tower.config.readout == "bag"
    chosen_with = {trial.config.bag.embedding_size for trial in tried if trial.config.readout == "bag"}
    assert chosen_with == {histories.item_count // 2}
    assert tower.config.bag.embedding_size == histories.item_count
    assert tower.embed_items().shape[1] == 2 * histories.item_count + 1, "the bag, the item space, popularity"
