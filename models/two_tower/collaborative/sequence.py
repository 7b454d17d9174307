"""A causal transformer over item ids: every position of a history is a training example.

SASRec (Kang & McAuley 2018) with a softmax over all items (Klenitskiy & Vasilev 2023) and two changes: positions
are a learned bias of each head for each distance (T5, Raffel et al. 2020), initialized as ALiBi's slopes (Press et al.
2022), and item vectors are initialized by the truncated SVD, which saves most of the epochs.
"""

# W windows, T slots of a window, D embedding size, H heads, P positions, I items, N sampled items

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.two_tower.collaborative.collaborative_config import SequenceConfig

NEAR, PER_DOUBLING, DISTANCES = 12, 3, 24
"""Distances below 12 have a bias each, those above share three in each doubling, up to 192."""
SLOPES = (0.5, 0.1, 0.02, 0.0)
"""Initial ALiBi slope per head, cycled over heads."""

LOWEST = -(2**63)
FACES = 256
START_GAIN = 0.25
"""Weight that the last norm starts with: with 1, the first epoch is spent on scores that are far too large."""


class Dropout(nn.Module):
    """As `torch.nn.Dropout`, in steps of 1/256: random bytes, since torch draws a number an entry on one thread."""

    def __init__(self, share: float) -> None:
        """Leaves out a share of the entries, though never all."""
        super().__init__()
        self.left_out = min(round(FACES * share), FACES - 1)

    def forward(self, entries: Tensor) -> Tensor:
        """Some entries 0, the others scaled up so that the expectation stays."""
        if not self.training or not self.left_out:
            return entries
        count = entries.numel()
        dice = (
            torch.empty(-(-count // 8), dtype=torch.int64, device=entries.device)
            .random_(LOWEST, None)
            .view(torch.uint8)[:count]
        )
        kept = (dice >= self.left_out).view(entries.shape).to(entries.dtype)
        return entries * (kept * (FACES / (FACES - self.left_out)))


class Transformer(nn.Module):
    """`forward` embeds histories at each position; their inner product with `items_ID`, plus `bias_I`, is the logit."""

    def __init__(self, start_ID: Tensor, counts_I: Tensor, config: SequenceConfig) -> None:
        """Item vectors are initialized by `start_ID`, biases by the log of the item counts."""
        super().__init__()
        size = start_ID.shape[1]
        self.items_ID = nn.Parameter(start_ID / start_ID.std() / math.sqrt(size))
        self.bias_I = nn.Parameter(torch.log(counts_I) - torch.log(counts_I).mean())
        self.blocks = nn.ModuleList([Block(size, config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(size)
        nn.init.constant_(self.norm.weight, START_GAIN)
        self.dropout = Dropout(config.dropout)

    def forward(self, items_WT: Tensor) -> Tensor:
        """[W, T, D]; positions after the last item are undefined."""
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
    """Causal self-attention, then a feed-forward layer; both pre-normalized and residual."""

    def __init__(self, size: int, config: SequenceConfig) -> None:
        """Initialized close to the identity."""
        super().__init__()
        self.heads = config.heads
        self.norm, self.wide_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.mixed = nn.Linear(size, size, bias=False)
        self.wide = nn.Linear(size, config.feed_forward_factor * size)
        self.narrow = nn.Linear(config.feed_forward_factor * size, size)
        self.dropout = Dropout(config.dropout)
        fading_HB = -torch.outer(slopes(self.heads), distance_of_bucket())
        self.distance_HB = nn.Parameter(fading_HB * config.relative_positions, requires_grad=config.relative_positions)
        for layer in (self.query_key_value, self.mixed, self.wide, self.narrow):
            nn.init.normal_(layer.weight, std=0.2 / math.sqrt(size))

    def forward(self, states_WTD: Tensor) -> Tensor:
        """[W, T, D]."""
        states_WTD = states_WTD + self.dropout(self._attend(self.norm(states_WTD)))
        wide_WTD = self.narrow(self.dropout(F.gelu(self.wide(self.wide_norm(states_WTD)))))
        after_WTD: Tensor = states_WTD + self.dropout(wide_WTD)
        return after_WTD

    def _attend(self, states_WTD: Tensor) -> Tensor:
        windows, slots, size = states_WTD.shape
        parts = self.query_key_value(states_WTD).view(windows, slots, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        place_T = torch.arange(slots, device=states_WTD.device)
        distance_TT = place_T[:, None] - place_T
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
