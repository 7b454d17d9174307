import torch

from models.two_tower import TwoTowerConfig
from models.two_tower.towers import HistoryTensors, UserTower, long_term_mean
from models.two_tower.vocabulary import Vocabularies

DAY = 24.0


def history_of(vectors: torch.Tensor, hours: list[float], actions: list[int]) -> HistoryTensors:
    width = len(hours)
    return HistoryTensors(
        vectors[None],
        torch.tensor([actions]),
        torch.tensor([hours], dtype=torch.float64),
        torch.zeros(1, width, dtype=torch.float64),
        torch.zeros(1, width, 4),
        torch.zeros(1, dtype=torch.int64),
    )


def test_the_mean_halves_what_is_a_half_life_older_and_doubles_saves():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    clicks = history_of(vectors, [0.0, DAY, 2 * DAY], [1, 1, 1])
    mean = long_term_mean(clicks, torch.tensor([0.0, 1.0, 2.0]), half_life_hours=DAY)
    # nothing yet; the first alone; the second beside half of the first
    torch.testing.assert_close(mean[0], torch.tensor([[0.0, 0.0], [1.0, 0.0], [1 / 3, 2 / 3]]))
    saved_first = history_of(vectors, [0.0, DAY, 2 * DAY], [2, 1, 1])
    mean = long_term_mean(saved_first, torch.tensor([0.0, 1.0, 2.0]), half_life_hours=DAY)
    torch.testing.assert_close(mean[0, 2], torch.tensor([0.5, 0.5]))


def test_a_history_of_decades_does_not_underflow():
    mean = long_term_mean(history_of(torch.ones(3, 2), [0.0, 1e5, 9e5], [1, 1, 1]), torch.ones(3), DAY)
    torch.testing.assert_close(mean[0, 2], torch.ones(2))


def test_a_later_event_changes_no_earlier_state():
    torch.manual_seed(0)
    config = TwoTowerConfig(embedding_size=8, history_length=4, layers=2)
    tower = UserTower(config, Vocabularies(), 3).eval()
    before, after = torch.randn(5, 8), torch.randn(5, 8)
    after[:3] = before[:3]
    every_slot = torch.ones(1, 5, dtype=torch.bool)
    hours, later = [0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 30.0, 40.0]
    with torch.inference_mode():
        one = tower(history_of(before, hours, [1] * 5), every_slot)
        other = tower(history_of(after, later, [1, 1, 1, 2, 2]), every_slot)
    for part, changed in zip(one, other, strict=True):
        torch.testing.assert_close(part[:4], changed[:4])  # state 3 has seen the slots 0 to 2
        assert not torch.allclose(part[4], changed[4])
