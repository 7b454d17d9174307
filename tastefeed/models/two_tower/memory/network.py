"""What reads a person's memories after training: a straight way beside one hidden layer.

The memories are fixed, so each lesson is a row of its own and an epoch visits them in any order: no sequence has to be
unrolled. The straight way alone would be a learned ridge; the hidden layer sees which memories come together.
"""

# P lessons of a batch, K memory columns, I items, N sampled items, D embedding size, H hidden units

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tastefeed.models.two_tower.memory.config import MemoryConfig


class Network(nn.Module):
    """`forward` embeds people; they are compared with `items_ID`, and `bias_I` is added."""

    def __init__(self, columns: int, start_ID: Tensor, counts_I: Tensor, config: MemoryConfig) -> None:
        """Items start where the item space has them, and as popular as they are."""
        super().__init__()
        size = start_ID.shape[1]
        self.straight = nn.Linear(columns, size, bias=False)
        self.hidden = nn.Linear(columns, config.hidden_size)
        self.out = nn.Linear(config.hidden_size, size)
        self.dropout = nn.Dropout(config.dropout)
        self.items_ID = nn.Parameter(start_ID.clone())
        self.bias_I = nn.Parameter(torch.log(counts_I) - torch.log(counts_I).mean())

    def forward(self, states_PK: Tensor) -> Tensor:
        """[P, D]."""
        states_PK = self.dropout(states_PK)
        hidden_PH = self.dropout(F.gelu(self.hidden(states_PK)))
        vectors_PD: Tensor = self.straight(states_PK) + self.out(hidden_PH)
        return vectors_PD

    def loss(self, vectors_PD: Tensor, items_P: Tensor, sampled_N: Tensor | None) -> Tensor:
        """Softmax cross-entropy over all items, or over the target and uniformly sampled others."""
        if sampled_N is None:
            return F.cross_entropy((vectors_PD @ self.items_ID.T + self.bias_I).float(), items_P)
        target_P = (vectors_PD * self.items_ID[items_P]).sum(dim=1) + self.bias_I[items_P]
        others_PN = vectors_PD @ self.items_ID[sampled_N].T + self.bias_I[sampled_N]
        others_PN = others_PN + math.log(len(self.bias_I) / len(sampled_N))  # each stands for as many
        others_PN = others_PN.masked_fill(items_P[:, None] == sampled_N, -torch.inf)
        logits_PN = torch.cat([target_P[:, None], others_PN], dim=1).float()
        return F.cross_entropy(logits_PN, torch.zeros_like(items_P))
