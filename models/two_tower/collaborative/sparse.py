"""Products with a constant sparse matrix, with gradients."""

# U users, I items, D dimensions

import warnings
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor


class Times(torch.autograd.Function):
    """A constant sparse matrix times a dense one; its transpose is given, for making it anew at each step is slow."""

    @staticmethod
    def forward(context: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        """The product."""
        context.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        """Of the dense one alone."""
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
