"""Sampled softmax, and each of its corrections as one function named after its idea."""

# P targets, N candidate items of the batch, B windows of W slots

import torch
from torch import Tensor
from torch.nn import functional as F


def log_inclusion(batch_share_N: Tensor, drawn: int, uniform_share: float, uniform: int) -> Tensor:
    """`[N]` log chance that an item is a candidate: `drawn` times by its share of events, `uniform` times evenly."""
    expected_N = batch_share_N * drawn + uniform_share * uniform
    return torch.log(-torch.expm1(-expected_N))


def correct_sampling(logits_PN: Tensor, log_q_N: Tensor) -> Tensor:
    """Undo the popularity bias of sampled negatives (logQ: Bengio & Senécal 2003; Yi et al. 2019)."""
    return logits_PN - log_q_N


def accidental_hits(window_P: Tensor, items_BW: Tensor, candidates: int) -> Tensor:
    """`[P, N]` true where a candidate is the target or another item of the target's window (`items_BW`; -1 is empty).

    In-batch items repeat, and a twin of the positive is not a negative. Neither is the user's own past and future: it
    is always among the candidates, however rare, and so logQ would count it far too much.
    """
    own_BN = torch.zeros(len(items_BW), candidates + 1, dtype=torch.bool, device=items_BW.device)
    own_BN.scatter_(1, items_BW.where(items_BW >= 0, candidates), value=True)
    return own_BN[:, :-1][window_P]


def not_yet_created(age_hours_PN: Tensor) -> Tensor:
    """`[P, N]` true where a candidate did not exist at the target's moment; an unknown age (NaN) counts as existing."""
    return age_hours_PN < 0


def sampled_softmax(positive_P: Tensor, negative_PN: Tensor, excluded_PN: Tensor, weight_P: Tensor) -> Tensor:
    """Weighted mean of -log softmax of each positive among its negatives.

    The positive itself is not corrected: it is there with certainty, the negatives estimate the rest of the softmax's
    denominator (Bengio & Senécal 2003).
    """
    negatives_P = torch.logsumexp(negative_PN.masked_fill(excluded_PN, -torch.inf), dim=1)
    return (F.softplus(negatives_P - positive_P) * weight_P).sum() / weight_P.sum()
