import torch

from models.two_tower.towers import BINS, age_basis, age_scores

NAN = float("nan")
MAX_DAYS = 3 / 24
"""log(1 + 3 h) = log 4, so three knots lie at ages of 0, 1 and 3 hours."""


def test_an_age_is_shared_by_its_two_neighbours():
    halfway = 2**0.5 - 1  # in log(1 + hours), between 0 and 1 hour
    basis = age_basis(torch.tensor([0.0, halfway, 1.0, 3.0], dtype=torch.float64), 3, MAX_DAYS)
    expected = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    torch.testing.assert_close(basis, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)


def test_older_than_the_last_knot_is_as_old_and_unknown_has_its_own_column():
    basis = age_basis(torch.tensor([1e6, -5.0, NAN], dtype=torch.float64), 3, MAX_DAYS)
    assert basis.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_training_and_serving_read_the_same_curve():
    curve = torch.tensor([[3.0, -1.0, 2.0, 7.0]])
    ages = torch.tensor([0.0, 0.3, 1.0, 2.5, 10.0, NAN])
    served = curve @ age_basis(ages.double(), 3, MAX_DAYS).T
    torch.testing.assert_close(age_scores(curve, ages[None], MAX_DAYS), served, atol=2 * 4 / BINS, rtol=0)
