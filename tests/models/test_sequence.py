"""The sequence encoder: what it predicts that sums cannot, and that its training repeats."""

import numpy as np
import pytest
import torch

from contracts.errors import UntrainableInput
from models.two_tower.collaborative.collaborative_config import CollaborativeConfig, SequenceConfig
from models.two_tower.collaborative.fit import Fits, fit
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder
from models.two_tower.collaborative.sequence import Dropout, bucket_of, distance_of_bucket
from models.two_tower.collaborative.sequence_training import epochs_of, windows_of
from models.two_tower.csr_interactions import EMPTY, latest_window
from tests.models.tiny_interactions import of, unseen_scores, wanderers


def config(**changes: object) -> CollaborativeConfig:
    small = {"embedding_size": 8, "history_length": 8, "layers": 1, "heads": 2, "batch_size": 64, "learning_rate": 0.02}
    sizes = SequenceConfig(**(small | {"epochs": 10, "min_steps": 1} | changes))
    return CollaborativeConfig(encoder="sequence", embedding_size=8, half_lives=(0.5, 4.0), sequence=sizes)


def test_every_interaction_but_the_last_is_in_one_window_with_its_successor() -> None:
    interactions = of(list(range(20)), [5], [3, 4, 3], items=20)
    for seed in range(5):
        windows = windows_of(interactions, 6, np.random.default_rng(seed))
        there = windows.items_WT != EMPTY
        pairs = torch.stack([windows.items_WT[there], windows.next_WT[there]], dim=1).tolist()
        assert sorted(pairs) == sorted([[item, item + 1] for item in range(19)] + [[3, 4], [4, EMPTY]])
        assert (there.sum(dim=1) > 0).all()


def test_batches_hold_every_window_once_and_about_as_many_interactions() -> None:
    interactions = of(*[list(range(2 + user % 9)) for user in range(90)], items=20)
    windows = windows_of(interactions, 12, np.random.default_rng(1))
    batches = list(windows.batches(30, torch.Generator().manual_seed(1)))
    assert sum(len(batch.items_WT) for batch in batches) == len(windows.items_WT) == 90
    assert max(int((batch.items_WT != EMPTY).sum()) for batch in batches) < 30 + 12
    assert all((batch.items_WT[:, -1] != EMPTY).any() for batch in batches), "no wider than its longest window"


def test_the_latest_window_is_the_end_of_a_history() -> None:
    assert latest_window(of([0, 1, 2], [], [2]), 2).tolist() == [[1, 2], [EMPTY, EMPTY], [2, EMPTY]]
    assert latest_window(of([], []), 2).tolist() == [[EMPTY], [EMPTY]]


def test_distances_share_a_bias_the_more_the_farther() -> None:
    assert bucket_of(torch.arange(12)).tolist() == list(range(12))
    assert bucket_of(torch.tensor([12, 15, 24, 48, 5000])).tolist() == [12, 12, 15, 18, 23]
    assert bucket_of(distance_of_bucket().ceil()).tolist() == list(range(24))


def test_interactions_without_a_second_item_train_no_attention() -> None:
    with pytest.raises(UntrainableInput, match="no history holds two items"):
        fit(of([0], [1, 1], [2]), config(), seed=7)


def test_few_training_examples_are_repeated_more_often() -> None:
    sizes = SequenceConfig(epochs=10, batch_size=10, min_steps=100)
    assert epochs_of(of(*[[0, 1]] * 1000), sizes) == 10
    assert epochs_of(of(*[[0, 1]] * 50), sizes) == 20
    assert epochs_of(of([0, 1]), sizes) == 40


@pytest.mark.parametrize("negatives", [4096, 4], ids=["all items", "sampled items"])
def test_attention_learns_the_path(negatives: int) -> None:
    interactions = wanderers()
    encoder = fit(interactions, config(negatives=negatives, epochs=30), seed=7)
    assert unseen_scores(encoder, interactions).argmax(axis=1).tolist() == [(user * 5 + 8) % 12 for user in range(60)]


def test_two_things_together_mean_what_neither_means_alone() -> None:
    """0 then 1 leads to 4, 2 then 3 too, but 0 then 3 and 2 then 1 lead to 5: no sum of item vectors separates them."""
    interactions = of(*[path for path in ([0, 1, 4], [2, 3, 4], [0, 3, 5], [2, 1, 5]) for _ in range(50)], items=6)
    histories = of([0, 1], [2, 3], [0, 3], [2, 1], items=6)
    encoders = {
        name: fit(interactions, config(epochs=100, dropout=0.0).model_copy(update={"encoder": name}), seed=7)
        for name in ("ridge", "sequence")
    }
    best = {name: unseen_scores(encoder, histories).argmax(axis=1).tolist() for name, encoder in encoders.items()}
    assert best["sequence"] == [4, 4, 5, 5]
    assert best["ridge"] != [4, 4, 5, 5]


def test_a_user_without_history_gets_what_is_popular() -> None:
    encoder = fit(of([0, 1], [0, 1, 2], [2, 1], [2, 1]), config(), seed=7)
    assert encoder.scores(of([], [])).argmax(axis=1).tolist() == [1, 1]


def test_a_user_is_encoded_alike_alone_and_among_others() -> None:
    encoder = fit(wanderers(), config(), seed=7)
    users = of([0, 1, 2], [5], list(range(12)) * 3, [], items=12)
    together = encoder.embed_users(users)
    alone = np.concatenate([encoder.embed_users(users.take(np.array([user]))) for user in range(4)])
    assert together == pytest.approx(alone, abs=1e-5)


def test_training_is_repeated_by_its_seed_and_leaves_the_callers_dice_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two, other = (fit(wanderers(), config(), seed=seed).items_IV for seed in (7, 7, 8))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_best_epoch_on_validation_stays() -> None:
    measured, seen = iter([0.1, 0.5, 0.2]), []
    fits = Fits(wanderers(), 7)

    def measure(encoder: CollaborativeEncoder) -> tuple[float, float]:
        seen.append(encoder.items_IV.copy())
        return 0.0, next(measured)

    encoder = fits.encoder(config(epochs=3), measure=measure)
    assert np.array_equal(encoder.items_IV, seen[1])
    assert [epoch.validation_ndcg for epoch in fits.curve] == [0.1, 0.5, 0.2]


def test_an_earlier_transformer_goes_on_and_takes_new_items() -> None:
    earlier = fit(wanderers(), config(), seed=7)
    more = of(*([(user * 5 + step) % 12 for step in range(8)] for user in range(60)), [12, 0], items=13)
    going_on = config(epochs=1, learning_rate=1e-6)
    later = Fits(more, 8).encoder(going_on, start=earlier)
    assert later.items_IV[:12] == pytest.approx(earlier.items_IV, abs=1e-3)
    assert len(later.items_IV) == 13


def test_without_relative_positions_the_order_before_the_last_item_means_nothing() -> None:
    for relative, alike in ((False, True), (True, False)):
        encoder = fit(wanderers(), config(epochs=1, relative_positions=relative, dropout=0.0), seed=7)
        one, other = encoder.embed_users(of([0, 1, 2, 3], [2, 1, 0, 3], items=12))
        assert np.allclose(one, other, atol=1e-5) == alike


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(3)
    dropout, ones = Dropout(0.25), torch.ones(1001, 101, requires_grad=True)
    left = dropout(ones)
    assert float((left == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert sorted(left.unique().tolist()) == pytest.approx([0, 4 / 3])
    left.sum().backward()
    assert torch.equal(ones.grad, left.detach())
    assert torch.equal(dropout.eval()(ones), ones)
