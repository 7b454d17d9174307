"""Dropout whose dice are bytes: torch's own draws for each entry on one thread, and took a quarter of a step."""

import torch
from torch import Tensor, nn

LOWEST = -(2**63)
FACES = 256


class Dropout(nn.Module):
    """As `torch.nn.Dropout`, with shares in steps of 1/256."""

    def __init__(self, share: float) -> None:
        """Leaves out a share of the entries, though never all."""
        super().__init__()
        self.left_out = min(round(FACES * share), FACES - 1)

    def forward(self, entries: Tensor) -> Tensor:
        """Some entries 0, the others scaled up so that the expectation stays."""
        if not self.training or not self.left_out:
            return entries
        count = entries.numel()
        dice = torch.empty(-(-count // 8), dtype=torch.int64).random_(LOWEST, None).view(torch.uint8)[:count]
        kept = (dice >= self.left_out).view(entries.shape).to(entries.dtype)
        return entries * (kept * (FACES / (FACES - self.left_out)))
