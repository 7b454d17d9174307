"""The training loop on one weight, whose loss and validation are numbers that a test chooses."""

import math

import pytest
import torch

from models.two_tower.training_loop import Deadline, Training, best_epoch, constant, one_cycle, run


class Weight(torch.nn.Module):
    """One number, which every step moves by the learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.zeros(1))


def trained(ndcgs: list[float] | None, *, steps: int = 1, **changes):
    """The weight, the curve and the reported epochs of a training whose validation gives `ndcgs`."""
    module, reported = Weight(), []
    optimizer = torch.optim.SGD(module.parameters(), lr=1)
    settings = {"learning_rate": 1.0, "epochs": len(ndcgs or [0, 0, 0]), "schedule": constant} | changes
    figures = iter(ndcgs or [])
    measure = (lambda: (0.5, next(figures))) if ndcgs else None

    def losses(_: int):
        for step in range(steps):
            yield step / steps, -module.value.sum()  # the gradient is -1: the weight grows by the rate

    curve = run(module, losses, Training(optimizer, **settings), measure, reported.append)
    return module.value.item(), curve, reported


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    value, curve, reported = trained([0.1, 0.3, 0.2])
    assert value == 2
    assert [result.validation_ndcg for result in curve] == [0.1, 0.3, 0.2]
    assert list(curve) == reported
    assert best_epoch(curve) == 2


def test_without_validation_the_last_epoch_is_kept() -> None:
    value, curve, _ = trained(None)
    assert value == 3
    assert all(result.refit and math.isnan(result.validation_ndcg) for result in curve)
    assert best_epoch(curve) == 3


def test_patience_ends_a_training_that_no_longer_improves() -> None:
    value, curve, _ = trained([0.3, 0.2, 0.1, 0.9], patience=2)
    assert len(curve) == 3
    assert value == 1


def test_a_deadline_ends_it_after_the_epoch_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    _, curve, _ = trained([0.1, 0.2, 0.3], deadline=Deadline(0.0))
    assert len(curve) == 1
    assert "after 1 of at most 3 epochs" in caplog.text
    assert "TASTEFEED_TWO_TOWER__MINUTES" in caplog.text


def test_a_deadline_after_the_last_epoch_cuts_nothing_short(caplog: pytest.LogCaptureFixture) -> None:
    trained([0.1], deadline=Deadline(0.0))
    assert not caplog.text


def test_a_deadline_within_another_is_never_later() -> None:
    assert Deadline(0.0).within(60).passed
    assert not Deadline().within(60).passed
    assert Deadline(60).within(-1.0).passed


def test_a_long_gradient_is_shortened() -> None:
    assert trained(None, longest_gradient=0.5)[0] == pytest.approx(1.5, abs=1e-4)


def test_the_loss_is_the_mean_of_an_epoch_and_no_step_is_no_error() -> None:
    _, curve, _ = trained(None, steps=2, epochs=1)
    assert curve[0].loss == pytest.approx(-0.5)  # the weight is 0 at the first step and 1 at the second
    assert trained(None, steps=0, epochs=1)[1][0].loss == 0


def test_the_schedule_is_followed_within_an_epoch() -> None:
    value, curve, _ = trained(None, steps=2, epochs=2, schedule=lambda progress: progress)
    assert value == pytest.approx(0 + 0.25 + 0.5 + 0.75)
    assert [result.learning_rate for result in curve] == pytest.approx([0.25, 0.75])


def test_one_cycle_rises_to_the_peak_and_falls_to_zero() -> None:
    rates = [one_cycle(step / 100) for step in range(101)]
    peak = max(range(101), key=rates.__getitem__)
    assert 8 <= peak <= 12
    assert rates[peak] == pytest.approx(1, abs=0.02)
    assert 0 < rates[0] < 0.05
    assert rates[100] == pytest.approx(0, abs=1e-9)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
