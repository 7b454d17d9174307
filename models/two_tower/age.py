"""Freshness inside a dot product.

A feed lives on fresh items, and how much so differs between people. Each user vector carries a curve over item age,
given by its values at K knots; each item vector carries its age as weights over the same knots (two neighbours share
it: linear interpolation). Their product is the curve's value at the item's age, so an index over plain inner products
knows freshness. The last of the K + 1 columns is for items whose age nobody knows.
"""

# P targets, N candidate items, K knots

import math

import torch
from torch import Tensor

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

    `curve @ age_basis.T` to within a bin: the curve is evaluated once at the middle of `BINS` bins and then looked up,
    as P x N interpolations would cost more than all the rest of a training step.
    """
    knots = curve_PK.shape[1] - 1
    bins_per_hour_log = BINS / math.log1p(max_days * 24)
    middles = torch.expm1((torch.arange(BINS, dtype=torch.float64) + 0.5) / bins_per_hour_log)
    table = age_basis(torch.cat([middles, middles.new_tensor([torch.nan])]), knots, max_days).to(curve_PK.device)
    bin_PN = age_hours_PN.clamp(min=0).log1p_().mul_(bins_per_hour_log).clamp_(max=BINS - 1).nan_to_num_(BINS)
    return (curve_PK @ table.T).gather(1, bin_PN.long())
