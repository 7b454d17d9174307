"""The item space: right singular vectors of the matrix of users and items, greatest first.

The truncated SVD of the interaction matrix, both sides scaled down by a power of their counts: an ideal low-pass over
the graph of users and items (GF-CF, Shen et al. 2021; PureSVD, Cremonesi et al. 2010). The usual powers of one half
are those of a random walk; smaller ones keep more of the active users, and validation prefers them.
With shrinkage, it is the ridge regression of every item on all others (EASE, Steck 2019): for two different items its
weights are, up to a factor of the second, a filter of the spectrum; exact where no dimension is dropped.
"""

# U users, I items, D dimensions
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor

from models.two_tower.csr_interactions import Floats


class Times(torch.autograd.Function):
    """A constant sparse matrix times a dense one; its transpose is given, because making it at each step is slow."""

    @staticmethod
    def forward(context: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        """The product."""
        context.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        """The gradient of the dense matrix alone."""
        return None, None, context.transposed @ gradients[0].contiguous()


class Sparse:
    """A constant sparse matrix that dense ones can be multiplied with while they learn."""

    def __init__(self, matrix: csr_matrix) -> None:
        """Keeps it both ways."""
        self._matrix, self._transposed = sparse(matrix), sparse(matrix.T)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product."""
        product: Tensor = Times.apply(self._matrix, self._transposed, dense)  # type: ignore[no-untyped-call]
        return product

    @property
    def T(self) -> "Sparse":  # noqa: N802  as everywhere
        """The transpose."""
        other = object.__new__(Sparse)
        other._matrix, other._transposed = self._transposed, self._matrix
        return other


def sparse(matrix: csr_matrix) -> Tensor:
    """With indices of 32 bits, with which it multiplies up to three times as fast as with 64."""
    rows = matrix.tocsr()
    index = (torch.from_numpy(rows.indptr.astype(np.int32)), torch.from_numpy(rows.indices.astype(np.int32)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls it a beta
        return torch.sparse_csr_tensor(*index, torch.from_numpy(rows.data.astype(np.float32)), rows.shape)


ROUNDS, MORE = 3, 10
"""Power iterations, and directions that are iterated beside those that are kept."""
LEAST_LEFT = 1e-3
"""Lower bound of one minus the weight that EASE would give an item for itself."""


@dataclass(frozen=True)
class ItemSpace:
    """Unit vectors of each dimension over the items, with what scales them."""

    directions_ID: Floats
    spectrum_D: Floats
    weights_I: Floats  # how many users interacted with each item, at least 1

    def inputs(self, size: int, *, item_power: float, spectrum_power: float, shrinkage: float = 0.0) -> Floats:
        """[I, size] what an interaction with each item adds to a user; the mean length is 1."""
        filter_D = self._strengths(size) ** spectrum_power * self._shrunk(size, shrinkage)
        scaled_ID = self.directions_ID[:, :size] * filter_D
        inputs_ID = scaled_ID * (self.weights_I**-item_power)[:, None]
        lengths_I = np.linalg.norm(inputs_ID, axis=1)
        return np.asarray(inputs_ID / max(float(lengths_I.mean()), 1e-12), np.float32)

    def outputs(self, size: int, *, popularity_power: float, shrinkage: float = 0.0) -> Floats:
        """[I, size] what a user is compared with; with shrinkage, an item that others predict badly counts more."""
        scale_I = self.weights_I**popularity_power
        if shrinkage:
            itself_I = self.directions_ID[:, :size] ** 2 @ self._shrunk(size, shrinkage)
            scale_I = scale_I / np.maximum(1 - itself_I, LEAST_LEFT)
        return np.asarray(self.directions_ID[:, :size] * scale_I[:, None], np.float32)

    def _strengths(self, size: int) -> Floats:
        strengths_D: Floats = self.spectrum_D[:size] / self.spectrum_D[0]
        return strengths_D

    def _shrunk(self, size: int, shrinkage: float) -> Floats:
        squared_D: Floats = self._strengths(size) ** 2
        return squared_D / (squared_D + np.float32(shrinkage))


def item_space(pairs: csr_matrix, size: int, *, user_power: float, item_power: float, seed: int) -> ItemSpace:
    """At most `size` dimensions; fewer where there are fewer users or items."""
    users_I = np.maximum(np.asarray(pairs.sum(axis=0)).ravel(), 1).astype(np.float32)
    items_U = np.maximum(np.asarray(pairs.sum(axis=1)).ravel(), 1).astype(np.float32)
    scaled = diags(items_U**-user_power) @ pairs @ diags(users_I**-item_power)
    directions_ID, spectrum_D = leading(scaled.tocsr(), size, seed=seed)
    return ItemSpace(directions_ID, np.maximum(spectrum_D, 1e-12), users_I)


def leading(matrix: csr_matrix, size: int, *, seed: int) -> tuple[Floats, Floats]:
    """[I, D] right singular vectors and [D] their values, greatest first, D being `size` at most.

    Subspace iteration (Halko et al. 2011), orthogonal on the side of the items alone: no matrix with a row per user is
    factored, which is twice as fast as scikit-learn's randomized SVD. Values below a thousandth of the greatest are
    rough, since they are computed squared, in single precision.
    """
    step, kept = Sparse(matrix), min(size, *matrix.shape)
    basis = torch.randn(matrix.shape[1], min(kept + MORE, *matrix.shape), generator=torch.Generator().manual_seed(seed))
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(step.T @ (step @ basis)).Q
    users = step @ basis
    squared_D, turn_DD = torch.linalg.eigh((users.T @ users).double())  # least first
    best = slice(None, -kept - 1, -1)
    squared_D, turn_DD = squared_D.numpy()[best], np.ascontiguousarray(turn_DD.numpy()[:, best], np.float32)
    return basis.numpy() @ turn_DD, np.sqrt(np.maximum(squared_D, 0)).astype(np.float32)
