"""How well vectors made at an instant foresee what comes after it: the nightly question, asked of the past."""

# U users, I items, k places of a list

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.two_tower.batches import Events
from models.two_tower.catalogue import Catalogue
from models.two_tower.examples import Sequences, Windows, latest_windows
from models.two_tower.towers import TwoTower

USERS_AT_ONCE = 512
USERS_AT_MOST = 4096


@dataclass(frozen=True)
class EpochResult:
    """One line of the training curve; the validation figures are NaN where nothing is held out."""

    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    validation_recall: float
    validation_ndcg: float
    refit: bool


@torch.inference_mode()
def embed_items(model: TwoTower, catalogue: Catalogue, hours: float) -> Tensor:
    """`[I, D + K]` item vectors at an instant."""
    model.eval()
    return model.item_vectors(catalogue, hours)


@torch.inference_mode()
def embed_users(model: TwoTower, catalogue: Catalogue, sequences: Sequences, hours: float) -> Tensor:
    """`[U, D + K]` user vectors at an instant, from what lies strictly before it."""
    model.eval()
    device = catalogue.id_I.device
    moment = sequences.before(hours).with_moment(hours)
    events, windows = Events.of(moment, device), latest_windows(moment, model.config.history_length + 1)
    item_ID = model.items(catalogue, torch.arange(len(catalogue), device=device))
    item_ID = torch.cat([item_ID, item_ID.new_zeros(1, item_ID.shape[1])])  # the empty slot's row -1
    parts = [
        _latest_states(model, item_ID, events, windows, first)
        for first in range(0, len(moment.user_ids), USERS_AT_ONCE)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.embedding_size + model.age_columns)


def _latest_states(model: TwoTower, item_ID: Tensor, events: Events, windows: Windows, first: int) -> Tensor:
    some = slice(first, first + USERS_AT_ONCE)
    width = int(windows.lengths()[some].max())
    slots_BW = torch.from_numpy(windows.slots_NW[some, :width]).to(item_ID.device)
    item_BWD = item_ID[torch.where(slots_BW >= 0, events.items_E[slots_BW], -1)]
    history = events.history(slots_BW, torch.from_numpy(windows.user_N[some]).to(item_ID.device), item_BWD)
    return model.user_vectors(history, torch.from_numpy(windows.is_target_NW[some, :width]).to(item_ID.device))


@dataclass(frozen=True)
class Validation:
    """What the known users touched first after the cut, among items that existed at the cut."""

    past: Sequences
    cut_hours: float
    user_M: Tensor  # M pairs to be found
    item_M: Tensor

    @classmethod
    def after(cls, sequences: Sequences, catalogue: Catalogue, cut_hours: float) -> "Validation":
        """At most `USERS_AT_MOST` users, evenly picked."""
        known = np.diff(sequences.before(cut_hours).offsets) > 0
        key_E = sequences.users * len(catalogue) + sequences.items
        old_E = sequences.hours < cut_hours
        existed_I = ~(catalogue.created_hours_I.cpu().numpy() >= cut_hours)
        new = np.setdiff1d(key_E[~old_E], key_E[old_E])
        new = new[known[new // len(catalogue)] & existed_I[new % len(catalogue)]]
        users = np.unique(new // len(catalogue))
        users = users[:: -(-len(users) // USERS_AT_MOST) or 1]
        new = new[np.isin(new // len(catalogue), users)]
        return cls(sequences.before(cut_hours), cut_hours, *map(torch.from_numpy, divmod(new, len(catalogue))))

    def measure(self, model: TwoTower, catalogue: Catalogue, k: int) -> tuple[float, float]:
        """Mean recall and NDCG at k over users, binary gains; NaN where nobody has anything to be found."""
        if not len(self.user_M):
            return float("nan"), float("nan")
        user_UD = embed_users(model, catalogue, self.past, self.cut_hours).cpu()
        item_ID = embed_items(model, catalogue, self.cut_hours).cpu()
        users = self.user_M.unique()
        figures = [self._figures(user_UD, item_ID, catalogue, some, k) for some in users.split(USERS_AT_ONCE)]
        recall, ndcg = torch.cat(figures).mean(dim=0).tolist()
        return recall, ndcg

    def _figures(self, user_UD: Tensor, item_ID: Tensor, catalogue: Catalogue, users: Tensor, k: int) -> Tensor:
        scores_BI = user_UD[users] @ item_ID.T
        scores_BI[:, catalogue.created_hours_I.cpu() >= self.cut_hours] = -torch.inf
        seen = torch.from_numpy(self.past.users), torch.from_numpy(self.past.items)
        scores_BI[_places(users, *seen)] = -torch.inf
        wanted_BI = torch.zeros(scores_BI.shape)
        wanted_BI[_places(users, self.user_M, self.item_M)] = 1
        hits_Bk = wanted_BI.gather(1, scores_BI.topk(min(k, scores_BI.shape[1])).indices)
        discount_k = 1 / torch.log2(torch.arange(2, hits_Bk.shape[1] + 2))
        wanted_B = wanted_BI.sum(dim=1)
        ideal_B = discount_k.cumsum(0)[wanted_B.long().clamp(max=len(discount_k)) - 1]
        return torch.stack([hits_Bk.sum(dim=1) / wanted_B, hits_Bk @ discount_k / ideal_B], dim=1)


def _places(users: Tensor, user_M: Tensor, item_M: Tensor) -> tuple[Tensor, Tensor]:
    """Of the pairs, those of these sorted users, as rows and columns of a block of scores."""
    among_M = torch.isin(user_M, users)
    return torch.searchsorted(users, user_M[among_M]), item_M[among_M]
