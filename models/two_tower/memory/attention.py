"""What reads a person's last touches after training: a causal transformer, every position of which is a lesson.

SASRec (Kang & McAuley 2018) with a softmax over all items (Klenitskiy & Vasilev 2023) and two changes: places are told
by a learned bias of each head for each distance (T5, Raffel et al. 2020), which begins as ALiBi's slopes (Press et al.
2022), and items begin where the item space has them, which saves most of the epochs.
"""

# W windows, T touches of a window, D embedding size, H heads, P positions, I items, N sampled items

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.two_tower.memory.config import AttentionConfig
from models.two_tower.memory.dropout import Dropout

NEAR, PER_DOUBLING, DISTANCES = 12, 3, 24
"""Distances below 12 have a bias each, those above share three in each doubling, up to 192."""
SLOPES = (0.5, 0.1, 0.02, 0.0)
"""What a head's bias loses with each touch of distance before training, in turns."""

START_GAIN = 0.25
"""Of the last norm: with 1, the first epoch is spent on scores that are far too sure."""


class Attention(nn.Module):
    """`forward` embeds people at each of their touches; they are compared with `items_ID`, and `bias_I` is added."""

    def __init__(self, start_ID: Tensor, counts_I: Tensor, config: AttentionConfig) -> None:
        """Items start where `start_ID` has them, and as popular as they are."""
        super().__init__()
        size = start_ID.shape[1]
        self.items_ID = nn.Parameter(start_ID / start_ID.std() / math.sqrt(size))
        self.bias_I = nn.Parameter(torch.log(counts_I) - torch.log(counts_I).mean())
        self.blocks = nn.ModuleList([Block(size, config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(size)
        nn.init.constant_(self.norm.weight, START_GAIN)
        self.dropout = Dropout(config.dropout)

    def forward(self, items_WT: Tensor) -> Tensor:
        """[W, T, D]; what comes after the last touch means nothing."""
        states_WTD = F.embedding(items_WT.clamp(min=0), self.items_ID) * math.sqrt(self.items_ID.shape[1])
        states_WTD = self.dropout(states_WTD)
        for block in self.blocks:
            states_WTD = block(states_WTD)
        vectors_WTD: Tensor = self.norm(states_WTD)
        return vectors_WTD

    def loss(self, vectors_PD: Tensor, items_P: Tensor, sampled_N: Tensor | None) -> Tensor:
        """Softmax cross-entropy over all items, or over the target and uniformly sampled others."""
        if sampled_N is None:
            return F.cross_entropy((vectors_PD @ self.items_ID.T).float() + self.bias_I, items_P)
        target_P = (vectors_PD * self.items_ID[items_P]).sum(dim=1) + self.bias_I[items_P]
        others_PN = (vectors_PD @ self.items_ID[sampled_N].T).float() + self.bias_I[sampled_N]
        others_PN = others_PN + math.log(len(self.bias_I) / len(sampled_N))  # each stands for as many
        others_PN = others_PN.masked_fill(items_P[:, None] == sampled_N, -torch.inf)
        logits_PN = torch.cat([target_P[:, None].float(), others_PN], dim=1)
        return F.cross_entropy(logits_PN, torch.zeros_like(items_P))


class Block(nn.Module):
    """Attention to what came before, then a layer of its own for each touch; both normalised first and added."""

    def __init__(self, size: int, config: AttentionConfig) -> None:
        """Begins as one that changes little."""
        super().__init__()
        self.heads = config.heads
        self.norm, self.wide_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.mixed = nn.Linear(size, size, bias=False)
        self.wide = nn.Linear(size, config.widening * size)
        self.narrow = nn.Linear(config.widening * size, size)
        self.dropout = Dropout(config.dropout)
        fading_HB = -torch.outer(slopes(self.heads), distance_of_bucket())
        self.distance_HB = nn.Parameter(fading_HB * config.distances, requires_grad=config.distances)
        for layer in (self.query_key_value, self.mixed, self.wide, self.narrow):
            nn.init.normal_(layer.weight, std=0.2 / math.sqrt(size))

    def forward(self, states_WTD: Tensor) -> Tensor:
        """[W, T, D]."""
        states_WTD = states_WTD + self.dropout(self._attend(self.norm(states_WTD)))
        wide_WTD = self.narrow(self.dropout(F.gelu(self.wide(self.wide_norm(states_WTD)))))
        after_WTD: Tensor = states_WTD + self.dropout(wide_WTD)
        return after_WTD

    def _attend(self, states_WTD: Tensor) -> Tensor:
        windows, touches, size = states_WTD.shape
        parts = self.query_key_value(states_WTD).view(windows, touches, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        distance_TT = torch.arange(touches)[:, None] - torch.arange(touches)
        bias_HTT = self.distance_HB[:, bucket_of(distance_TT)].masked_fill(distance_TT < 0, -torch.inf)
        weights = (query @ key.transpose(-1, -2) / math.sqrt(size // self.heads) + bias_HTT).softmax(dim=-1)
        weights = self.dropout(weights.to(value.dtype))
        mixed_WTD: Tensor = self.mixed((weights @ value).transpose(1, 2).reshape(states_WTD.shape))
        return mixed_WTD


def slopes(heads: int) -> Tensor:
    """[H]."""
    return torch.tensor([SLOPES[head % len(SLOPES)] for head in range(heads)])


def bucket_of(distance: Tensor) -> Tensor:
    """Which of the `DISTANCES` biases a distance has."""
    far = NEAR + PER_DOUBLING * torch.log2(distance.clamp(min=1) / NEAR)
    return torch.where(distance < NEAR, distance.clamp(min=0), far).long().clamp(max=DISTANCES - 1)


def distance_of_bucket() -> Tensor:
    """[B] the shortest distance of each bucket."""
    bucket = torch.arange(DISTANCES)
    return torch.where(bucket < NEAR, bucket, NEAR * 2 ** ((bucket - NEAR) / PER_DOUBLING))
