"""Softmax over all items for some thousand users at once, with gradients made in the same pass.

The scores of 2,048 users and 40,000 items would be 330 MB in single precision, and again for their gradient. Here some
hundred users at a time are scored in half precision, and only two sums of each are kept.
"""

# B users of a step, b of a block, I items, D dimensions

from typing import Any

import torch
from torch import Tensor

from models.two_tower.compute_device import half

BLOCK = 512


def log_sum_exp(users_BD: Tensor, items_ID: Tensor, weights_B: Tensor, temperature: float) -> Tensor:
    """sum_B w_B log sum_I exp(u_B . v_I / t) of unit vectors: bounded by 1 / t, so that no maximum need be sought."""
    total: Tensor = LogSumExp.apply(users_BD, items_ID, weights_B, temperature)  # type: ignore[no-untyped-call]
    return total


class LogSumExp(torch.autograd.Function):
    """`log_sum_exp` with its gradients."""

    @staticmethod
    def forward(context: Any, users_BD: Tensor, items_ID: Tensor, weights_B: Tensor, temperature: float) -> Tensor:
        """The sum; gradients wait for `backward`."""
        kind, ones_I1 = half(users_BD.device), torch.ones(len(items_ID), 1)
        left_BD = torch.cat([users_BD / temperature, torch.ones(len(users_BD), 1)], dim=1).to(kind)
        right_DI = torch.cat([items_ID, -ones_I1 / temperature], dim=1).to(kind).T
        summed_ID = torch.cat([items_ID, ones_I1], dim=1).to(kind)  # the last column sums the exponentials
        of_users_BD, of_items_ID, total = torch.empty_like(users_BD), torch.zeros_like(items_ID), 0.0
        for some_b in torch.arange(len(users_BD)).split(BLOCK):
            exp_bI = (left_BD[some_b] @ right_DI).exp_()
            sums_bD = (exp_bI @ summed_ID).float()
            share_b1 = weights_B[some_b, None] / sums_bD[:, -1:] / temperature
            of_users_BD[some_b] = sums_bD[:, :-1] * share_b1
            of_items_ID += (exp_bI.T @ (users_BD[some_b] * share_b1).to(kind)).float()
            total += float((weights_B[some_b] * (sums_bD[:, -1].log() + 1 / temperature)).sum())
        context.save_for_backward(of_users_BD, of_items_ID)
        return torch.tensor(total)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Of the users and the items."""
        of_users_BD, of_items_ID = context.saved_tensors
        return of_users_BD * gradients[0], of_items_ID * gradients[0], None, None
