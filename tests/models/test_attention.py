"""The attention readout of the memory two-tower: what it can tell that sums cannot, and that its training repeats."""

import numpy as np
import pytest
import torch

from tastefeed.contracts.errors import UnknownMethod, UntrainableInput
from tastefeed.models.two_tower.memory import MemoryConfig, MemoryTwoTower, fit, fit_memory
from tastefeed.models.two_tower.memory.attention import bucket_of, distance_of_bucket
from tastefeed.models.two_tower.memory.config import AttentionConfig
from tastefeed.models.two_tower.memory.dropout import Dropout
from tastefeed.models.two_tower.memory.fitting import by_attention, space_of
from tastefeed.models.two_tower.memory.learning import epochs_of, share_of_rate
from tastefeed.models.two_tower.memory.tricks import going_without
from tastefeed.models.two_tower.memory.windows import NOTHING, cut, latest_window
from tests.models.paths import of, unseen_scores, wanderers


def config(**changes: object) -> MemoryConfig:
    small = {"embedding_size": 8, "window": 8, "layers": 1, "heads": 2, "batch_size": 64, "learning_rate": 0.02}
    sizes = AttentionConfig(**(small | {"epochs": 10, "fewest_steps": 1} | changes))
    return MemoryConfig(readout="attention", embedding_size=8, half_lives=(0.5, 4.0), attention=sizes)


def test_every_touch_but_the_last_is_in_one_window_with_what_came_next() -> None:
    histories = of(list(range(20)), [5], [3, 4, 3], items=20)
    for seed in range(5):
        windows = cut(histories, 6, np.random.default_rng(seed))
        there = windows.items_WT != NOTHING
        pairs = torch.stack([windows.items_WT[there], windows.next_WT[there]], dim=1).tolist()
        assert sorted(pairs) == sorted([[item, item + 1] for item in range(19)] + [[3, 4], [4, NOTHING]])
        assert (there.sum(dim=1) > 0).all()


def test_batches_hold_every_window_once_and_about_as_many_touches() -> None:
    histories = of(*[list(range(2 + person % 9)) for person in range(90)], items=20)
    windows = cut(histories, 12, np.random.default_rng(1))
    batches = list(windows.batches(30, torch.Generator().manual_seed(1)))
    assert sum(len(batch.items_WT) for batch in batches) == len(windows.items_WT) == 90
    assert max(int((batch.items_WT != NOTHING).sum()) for batch in batches) < 30 + 12
    assert all((batch.items_WT[:, -1] != NOTHING).any() for batch in batches), "no wider than its longest window"


def test_the_latest_window_is_the_end_of_a_history() -> None:
    assert latest_window(of([0, 1, 2], [], [2]), 2).tolist() == [[1, 2], [NOTHING, NOTHING], [2, NOTHING]]
    assert latest_window(of([], []), 2).tolist() == [[NOTHING], [NOTHING]]


def test_distances_share_a_bias_the_more_the_farther() -> None:
    assert bucket_of(torch.arange(12)).tolist() == list(range(12))
    assert bucket_of(torch.tensor([12, 15, 24, 48, 5000])).tolist() == [12, 12, 15, 18, 23]
    assert bucket_of(distance_of_bucket().ceil()).tolist() == list(range(24))


def test_histories_without_a_second_item_teach_no_attention() -> None:
    with pytest.raises(UntrainableInput, match="no history holds two items"):
        fit(of([0], [1, 1], [2]), config(), seed=7)


def test_few_lessons_are_gone_through_more_often() -> None:
    sizes = AttentionConfig(epochs=10, batch_size=10, fewest_steps=100)
    assert epochs_of(of(*[[0, 1]] * 1000), sizes) == 10
    assert epochs_of(of(*[[0, 1]] * 50), sizes) == 20
    assert epochs_of(of([0, 1]), sizes) == 40


def test_steps_grow_and_then_shrink() -> None:
    shares = [share_of_rate(progress) for progress in (0, 0.05, 0.1, 0.55, 1)]
    assert shares == pytest.approx([0.01, 0.51, 1, 0.5, 0], abs=1e-6)


@pytest.mark.parametrize("negatives", [4096, 4], ids=["all items", "sampled items"])
def test_attention_learns_the_path(negatives: int) -> None:
    histories = wanderers()
    tower = fit(histories, config(negatives=negatives, epochs=30), seed=7)
    assert unseen_scores(tower, histories).argmax(axis=1).tolist() == [(person * 5 + 8) % 12 for person in range(60)]


def test_two_things_together_mean_what_neither_means_alone() -> None:
    """0 then 1 leads to 4, 2 then 3 too, but 0 then 3 and 2 then 1 lead to 5: no sum of memories can tell."""
    histories = of(*[path for path in ([0, 1, 4], [2, 3, 4], [0, 3, 5], [2, 1, 5]) for _ in range(50)], items=6)
    asked = of([0, 1], [2, 3], [0, 3], [2, 1], items=6)
    towers = {
        readout: fit(histories, config(epochs=100, dropout=0.0).model_copy(update={"readout": readout}), seed=7)
        for readout in ("ridge", "attention")
    }
    told = {readout: unseen_scores(tower, asked).argmax(axis=1).tolist() for readout, tower in towers.items()}
    assert told["attention"] == [4, 4, 5, 5]
    assert told["ridge"] != [4, 4, 5, 5]


def test_nobody_in_particular_gets_what_is_popular() -> None:
    tower = fit(of([0, 1], [0, 1, 2], [2, 1], [2, 1]), config(), seed=7)
    assert tower.scores(of([], [])).argmax(axis=1).tolist() == [1, 1]


def test_a_person_is_read_alike_alone_and_among_others() -> None:
    tower = fit(wanderers(), config(), seed=7)
    people = of([0, 1, 2], [5], list(range(12)) * 3, [], items=12)
    together = tower.embed_users(people)
    alone = np.concatenate([tower.embed_users(people.take(np.array([person]))) for person in range(4)])
    assert together == pytest.approx(alone, abs=1e-5)


def test_training_is_repeated_by_its_seed_and_leaves_the_callers_dice_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two, other = (fit(wanderers(), config(), seed=seed).embed_items() for seed in (7, 7, 8))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_best_epoch_on_validation_stays() -> None:
    measured = iter([0.1, 0.5, 0.2])
    histories, three = wanderers(), config(epochs=3)
    space, seen = space_of(histories, three, seed=7), []

    def measure(tower: MemoryTwoTower) -> float:
        seen.append(tower.embed_items().copy())
        return next(measured)

    tower = by_attention(histories, space, three, seed=7, measure=measure)
    assert np.array_equal(tower.embed_items(), seen[1])
    assert [epoch.ndcg for epoch in tower.epochs] == [0.1, 0.5, 0.2]


def test_attention_may_be_chosen_and_is_left_out_where_nothing_has_a_past() -> None:
    tried = []
    fit_memory(wanderers(), k=1, seed=7, ordered=True, on_trial=lambda trial: tried.append(trial.config.readout))
    assert "attention" in tried
    fit_memory(of([0, 1], [1, 2]), seed=7, ordered=True, on_trial=lambda trial: tried.append(trial.config.readout))
    assert tried[-1] != "attention"


def test_a_trick_can_be_left_out_and_one_that_is_none_is_refused() -> None:
    """Without distances nothing tells places apart: the order of all touches but the last means nothing."""
    bare = going_without(config(epochs=1), ["distances", "beginning", "dropout"])
    assert (bare.attention.dropout, bare.attention.begins, bare.bag.begins) == (0, "noise", "noise")
    for sizes, alike in ((bare, True), (config(epochs=1), False)):
        tower = fit(wanderers(), sizes, seed=7)
        one, other = tower.embed_users(of([0, 1, 2, 3], [2, 1, 0, 3], items=12))
        assert np.allclose(one, other, atol=1e-5) == alike
    with pytest.raises(UnknownMethod, match="dropping"):
        going_without(bare, ["dropping"])


def test_readouts_that_are_none_or_do_not_suit_are_refused() -> None:
    with pytest.raises(UnknownMethod, match="no readout is called memory; choose of space, ease, bag, ridge"):
        fit_memory(wanderers(), seed=7, ordered=True, readouts=["memory"])
    with pytest.raises(UntrainableInput, match="none of the readouts attention suits rows without order in 2"):
        fit_memory(wanderers(), seed=7, readouts=["attention"], ordered=False)


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(3)
    dropout, ones = Dropout(0.25), torch.ones(1001, 101, requires_grad=True)
    left = dropout(ones)
    assert float((left == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert sorted(left.unique().tolist()) == pytest.approx([0, 4 / 3])
    left.sum().backward()
    assert torch.equal(ones.grad, left.detach())
    assert torch.equal(dropout.eval()(ones), ones)
