import math

import torch

from models.two_tower import content_training


def test_inclusion_is_the_chance_to_be_drawn_at_least_once():
    # ten draws of an item with a tenth of all events: 1 - e^-1; never drawn but uniformly, 5 of 100: 1 - e^-0.05
    log_q = content_training.log_inclusion(torch.tensor([0.1, 0.0]), 10, 0.0, 0)
    assert math.isclose(log_q[0].item(), math.log(1 - math.exp(-1)), rel_tol=1e-5)
    log_q = content_training.log_inclusion(torch.tensor([0.0]), 10, 1 / 100, 5)
    assert math.isclose(log_q.item(), math.log(1 - math.exp(-0.05)), rel_tol=1e-4)


def test_an_item_drawn_half_as_often_counts_twice():
    corrected = content_training.correct_sampling(torch.zeros(1, 2), torch.log(torch.tensor([1.0, 0.5])))
    torch.testing.assert_close(corrected.exp(), torch.tensor([[1.0, 2.0]]))


def test_twins_of_the_target_and_the_windows_other_items_are_no_negatives():
    items_BW = torch.tensor([[0, 2, 0], [1, 3, -1]])  # the first window holds item 0 twice
    hits = content_training.accidental_hits(torch.tensor([0, 1, 1]), items_BW, 4)
    assert hits.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]]


def test_items_of_the_future_are_no_negatives_and_unknown_ages_are():
    assert content_training.not_yet_created(torch.tensor([[-1.0, 0.0, 5.0, torch.nan]])).tolist() == [
        [True, False, False, False]
    ]


def test_softmax_by_hand_weighs_a_save_double():
    # one positive among two negatives of the same logit: -log 1/3; one among one that is left: -log 1/2
    excluded = torch.tensor([[False, False], [False, True]])
    loss = content_training.sampled_softmax(torch.zeros(2), torch.zeros(2, 2), excluded, torch.tensor([2.0, 1.0]))
    assert math.isclose(loss.item(), (2 * math.log(3) + math.log(2)) / 3, rel_tol=1e-6)


def test_targets_that_weigh_nothing_move_nothing():
    taste = torch.zeros(2, requires_grad=True)
    loss = content_training.sampled_softmax(taste, torch.zeros(2, 1), torch.tensor([[False], [False]]), torch.zeros(2))
    loss.backward()
    assert loss.item() == 0
    assert taste.grad is not None
    assert taste.grad.tolist() == [0, 0]


def test_a_target_without_any_negative_costs_nothing():
    loss = content_training.sampled_softmax(torch.zeros(1), torch.zeros(1, 1), torch.tensor([[True]]), torch.ones(1))
    assert loss.item() == 0
