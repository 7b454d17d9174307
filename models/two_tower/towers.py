"""The two towers, and freshness inside an inner product. No tower has a row for a user: new users have vectors at once.

Users differ in how much they prefer fresh items. Each user vector carries a curve over item age, given by its values at
K knots; each item vector carries its age as weights over the same knots (two neighbours share it: linear
interpolation). Their product is the curve's value at the item's age, so an index over plain inner products ranks by
freshness too. The last of the K + 1 columns is for items of unknown age.
"""

# N items, B windows, W slots, P wanted slots, D embedding size, K age columns, C categories, T text size
# state q of a window has seen the slots before q
# P targets, N candidate items, K knots

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.two_tower.catalogue import ItemCatalogue
from models.two_tower.examples import PAST_FEATURES, HistoryTensors
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabularies, Vocabulary


class ItemTower(nn.Module):
    """Id, creator, categories, language and text, added up and refined.

    In training the id is dropped for a random share of items (DropoutNet, Volkovs et al. 2017). Content alone must then
    place an item, as it must for new items.
    """

    def __init__(self, config: TwoTowerConfig, words: Vocabularies, text_size: int) -> None:
        """Rows for every word; a text projection where there is text."""
        super().__init__()
        size = config.embedding_size
        self.id = _embedding(words.items, size)
        self.creator = _embedding(words.creators, size)
        self.language = _embedding(words.languages, size)
        self.categories = nn.EmbeddingBag(len(words.categories), size, mode="mean", padding_idx=0)
        _small(self.categories)
        self.text = nn.Linear(text_size, size) if text_size else None
        self.refine = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, size))
        self.id_dropout = config.item_id_dropout

    def forward(self, catalogue: ItemCatalogue, rows_N: Tensor) -> Tensor:
        """`[N, D]` unit vectors of these rows of the catalogue."""
        id_ND = self.id(catalogue.id_I[rows_N])
        if self.training:
            id_ND = id_ND * (torch.rand(len(rows_N), 1, device=id_ND.device) >= self.id_dropout)
        sum_ND = id_ND + self.creator(catalogue.creator_I[rows_N]) + self.language(catalogue.language_I[rows_N])
        sum_ND = sum_ND + self.categories(catalogue.categories_IC[rows_N])
        if self.text is not None:
            sum_ND = sum_ND + self.text(catalogue.text_IT[rows_N])
        vector_ND: Tensor = F.normalize(sum_ND + self.refine(sum_ND), dim=1)
        return vector_ND


class HistoryEncoder(nn.Module):
    """Causal attention over the recent events (SASRec, Kang & McAuley 2018), with actions and time gaps."""

    def __init__(self, config: TwoTowerConfig) -> None:
        """A start token stands for the empty history."""
        super().__init__()
        size = config.embedding_size
        self.start = nn.Parameter(torch.randn(size) * 0.1)
        self.position = nn.Parameter(torch.randn(config.history_length + 1, size) * 0.1)
        self.action = nn.Embedding(3, size)
        self.gap = nn.Linear(1, size)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(size, config.heads, 2 * size, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(size)

    def forward(self, history: HistoryTensors) -> Tensor:
        """`[B, W, D]` one state a slot."""
        size, width = self.start.shape[0], history.action_BW.shape[1]
        event_BWD = history.item_BWD * size**0.5 + self.action(history.action_BW)
        event_BWD = event_BWD + self.gap(history.silence_BW.float().log1p()[..., None])
        start_B1D = self.start.expand(len(event_BWD), 1, size)
        state_BWD = torch.cat([start_B1D, event_BWD[:, :-1]], dim=1) + self.position[:width]
        future_WW = torch.full((width, width), -torch.inf, device=state_BWD.device).triu(1)
        for block in self.blocks:
            state_BWD = block(state_BWD, src_mask=future_WW, is_causal=True)
        normed_BWD: Tensor = self.norm(state_BWD)
        return normed_BWD


class UserTower(nn.Module):
    """Recent history, long-term mean, features of the past and region; gives a taste vector and an age curve."""

    def __init__(self, config: TwoTowerConfig, words: Vocabularies, age_columns: int) -> None:
        """`age_columns` is 0 where the catalogue has no ages."""
        super().__init__()
        size = config.embedding_size
        self.half_life_hours = config.half_life_days * 24
        self.encoder = HistoryEncoder(config)
        self.action_weight = nn.Parameter(torch.zeros(3))
        self.region = _embedding(words.regions, size)
        self.past = nn.Linear(PAST_FEATURES, size)
        self.mix = nn.Sequential(nn.Linear(4 * size, 2 * size), nn.GELU(), nn.Dropout(config.dropout))
        self.taste = nn.Linear(2 * size, size)
        nn.init.normal_(self.taste.weight, std=0.02)  # starts as the mean of the history, from where taste is learned
        self.age = nn.Linear(2 * size, age_columns) if age_columns else None

    def forward(self, history: HistoryTensors, wanted_BW: Tensor) -> tuple[Tensor, Tensor]:
        """`[P, D]` unit taste vectors and `[P, K]` age curves of the P wanted slots."""
        mean_PD = long_term_mean(history, self.action_weight.exp(), self.half_life_hours)[wanted_BW]
        recent_PD = self.encoder(history)[wanted_BW]
        region_PD = self.region(history.region_B[wanted_BW.nonzero()[:, 0]])
        mixed_PH = self.mix(torch.cat([recent_PD, mean_PD, self.past(history.past_BWF[wanted_BW]), region_PD], dim=1))
        curve_PK = self.age(mixed_PH) if self.age is not None else mixed_PH[:, :0]
        return F.normalize(mean_PD + self.taste(mixed_PH), dim=1), curve_PK


class TwoTower(nn.Module):
    """Both towers, and how they meet: `taste · item / temperature + age curve at the item's age`."""

    def __init__(self, config: TwoTowerConfig, words: Vocabularies, text_size: int, *, has_ages: bool) -> None:
        """Sizes follow from the vocabularies, the text and whether any item has `created_at`."""
        super().__init__()
        self.config = config
        self.age_columns = config.age_knots + 1 if has_ages and config.item_age else 0
        self.items = ItemTower(config, words, text_size)
        self.users = UserTower(config, words, self.age_columns)

    def item_vectors(self, catalogue: ItemCatalogue, hours: float) -> Tensor:
        """`[I, D + K]` what an index holds: taste, and age at the instant."""
        taste_ID: Tensor = self.items(catalogue, torch.arange(len(catalogue), device=catalogue.id_I.device))
        if not self.age_columns:
            return taste_ID
        basis_IK = age_basis(hours - catalogue.created_hours_I, self.config.age_knots, self.config.age_max_days)
        return torch.cat([taste_ID, basis_IK], dim=1)

    def user_vectors(self, history: HistoryTensors, wanted_BW: Tensor) -> Tensor:
        """`[P, D + K]` the query vectors of an index; their inner product with an item vector is the logit."""
        taste_PD, curve_PK = self.users(history, wanted_BW)
        return torch.cat([taste_PD / self.config.temperature, curve_PK], dim=1)


def long_term_mean(history: HistoryTensors, action_weight: Tensor, half_life_hours: float) -> Tensor:
    """`[B, W, D]` mean of the item vectors before each slot, decayed and weighted by action; zero where none is."""
    hours_BW = (history.hours_BW - history.hours_BW[:, :1]).float()
    last_BW = torch.cat([hours_BW[:, :1], hours_BW[:, :-1]], dim=1)  # decay from the last event seen: weights near 1
    elapsed_BWW = (last_BW[:, :, None] - hours_BW[:, None, :]).clamp(min=0)
    weight_BWW = torch.exp2(-elapsed_BWW / half_life_hours) * action_weight[history.action_BW][:, None, :]
    weight_BWW = weight_BWW.tril(-1)
    return weight_BWW @ history.item_BWD / weight_BWW.sum(dim=2, keepdim=True).clamp(min=1e-6)


def _embedding(words: Vocabulary, size: int) -> nn.Embedding:
    table = nn.Embedding(len(words), size, padding_idx=0)
    _small(table)
    return table


def _small(table: nn.Embedding | nn.EmbeddingBag) -> None:
    nn.init.normal_(table.weight, std=0.1)
    with torch.no_grad():
        table.weight[0] = 0


BINS = 256
"""Steps in which training looks a curve up; vectors interpolate without them."""


def knot_positions(age_hours: Tensor, knots: int, max_days: float) -> tuple[Tensor, Tensor]:
    """The knot at or below each age and the way to the next, 0 to 1; negative and unknown (NaN) ages count as 0."""
    step = math.log1p(max_days * 24) / (knots - 1)
    at = (age_hours.clamp(min=0).log1p() / step).nan_to_num(0).clamp(max=knots - 1)
    below = at.floor().clamp(max=knots - 2)
    return below.long(), (at - below).float()


def age_basis(age_hours_N: Tensor, knots: int, max_days: float) -> Tensor:
    """`[N, K + 1]` weights over the knots: the age part of item vectors."""
    below_N, way_N = knot_positions(age_hours_N, knots, max_days)
    basis = torch.zeros(len(age_hours_N), knots + 1, device=age_hours_N.device)
    basis.scatter_(1, below_N[:, None], 1 - way_N[:, None])
    basis.scatter_(1, below_N[:, None] + 1, way_N[:, None])
    unknown_N = age_hours_N.isnan()
    basis[unknown_N] = 0
    basis[unknown_N, -1] = 1
    return basis


def age_scores(curve_PK: Tensor, age_hours_PN: Tensor, max_days: float) -> Tensor:
    """`[P, N]` each target's curve (K + 1 columns) at the age each candidate had at its moment.

    `curve @ age_basis.T` to within a bin: the curve is evaluated once at the middle of `BINS` bins and then looked up.
    P x N interpolations would cost more than all the rest of a training step.
    """
    knots = curve_PK.shape[1] - 1
    bins_per_hour_log = BINS / math.log1p(max_days * 24)
    middles = torch.expm1((torch.arange(BINS, dtype=torch.float64) + 0.5) / bins_per_hour_log)
    table = age_basis(torch.cat([middles, middles.new_tensor([torch.nan])]), knots, max_days).to(curve_PK.device)
    bin_PN = age_hours_PN.clamp(min=0).log1p_().mul_(bins_per_hour_log).clamp_(max=BINS - 1).nan_to_num_(BINS)
    return (curve_PK @ table.T).gather(1, bin_PN.long())
