"""What a fit may cost is counted beforehand: larger data, smaller trainings; never other ones on a busy machine."""

import numpy as np
import pytest
import torch

from models.two_tower import budget as budget_module
from models.two_tower.budget import Budget, seconds_of_space, training_minutes
from models.two_tower.collaborative.collaborative_config import BagConfig, SequenceConfig
from models.two_tower.csr_interactions import Interactions
from tests.models.tiny_interactions import interactions_of, of

SEQUENCE = SequenceConfig(epochs=12, min_steps=1)


@pytest.fixture(params=[torch.float32, torch.bfloat16], autouse=True)
def _precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "half", lambda _: request.param)


def random_interactions(count: int, items: int, each: int = 5) -> Interactions:
    random = np.random.default_rng(0)
    rows = np.repeat(np.arange(count), each)
    return interactions_of(rows, random.integers(items, size=len(rows)), users=count, items=items)


def test_a_budget_that_suffices_changes_nothing() -> None:
    within = Budget(random_interactions(1000, 500), seconds=600)
    assert within.bag(BagConfig()) == BagConfig()
    assert within.sequence(SEQUENCE) == SEQUENCE


def test_four_times_the_users_have_a_quarter_of_the_dimensions_or_passes() -> None:
    few, many = random_interactions(20_000, 2000), random_interactions(80_000, 2000)
    sizes = BagConfig(embedding_size=1024)
    enough = Budget(few, seconds=0).seconds_of_bag(sizes, 1024)
    assert Budget(few, enough).bag(sizes) == sizes
    smaller = Budget(many, enough * 1.01).bag(sizes)
    assert smaller is not None
    assert smaller.embedding_size == 256
    enough = 12 * Budget(few, seconds=0).seconds_of_epoch(SEQUENCE)
    assert Budget(few, enough * 1.01).sequence(SEQUENCE) == SEQUENCE
    assert Budget(many, enough * 1.01).sequence(SEQUENCE).epochs == 3


def test_a_transformer_of_few_passes_goes_without_dropout() -> None:
    past = random_interactions(20_000, 2000)
    a_pass = Budget(past, seconds=0).seconds_of_epoch(SEQUENCE)
    few, more = (Budget(past, passes * a_pass * 1.01).sequence(SEQUENCE) for passes in (5, 6))
    assert (few.epochs, few.dropout) == (5, 0)
    assert (more.epochs, more.dropout) == (6, SEQUENCE.dropout)


def test_a_bag_of_too_few_dimensions_is_none_and_attention_passes_once_at_least() -> None:
    hurried = Budget(random_interactions(20_000, 2000), seconds=0.01)
    assert hurried.bag(BagConfig()) is None
    assert hurried.sequence(SEQUENCE).epochs == 1


def test_a_large_space_costs_more() -> None:
    interactions = random_interactions(1000, 500)
    assert (
        seconds_of_space(interactions, 16)
        < seconds_of_space(interactions, 64)
        < seconds_of_space(random_interactions(9000, 500), 64)
    )


def test_the_training_budget_grows_with_the_rows_up_to_the_configured_minutes() -> None:
    few, many = random_interactions(15_000, 500), random_interactions(200_000, 2000)
    assert training_minutes(few, 10) == pytest.approx(1.5 + 9.5 * 0.075)
    assert training_minutes(many, 10) == 10
    assert training_minutes(few, 0.5) == 0.5


def test_few_rows_of_many_items_pay_for_the_optimizer() -> None:
    """Each step moves every item vector, whether or not the step has seen it."""
    few_items, many_items = (of([0, 1, 2] * 900, items=items) for items in (5000, 500_000))
    assert Budget(many_items, 0).seconds_of_epoch(SEQUENCE) > 2 * Budget(few_items, 0).seconds_of_epoch(SEQUENCE)
