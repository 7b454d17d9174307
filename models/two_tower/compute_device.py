"""Where a training runs, and what follows from it: the precision of products and the size of a step."""

import math
import os
from typing import Any, Protocol, Self, TypeVar

import torch


class TrainingConfig(Protocol):
    """What a stepwise training is configured with."""

    @property
    def batch_size(self) -> int:
        """Examples of a step."""
        ...

    @property
    def learning_rate(self) -> float:
        """At its peak."""
        ...

    def model_copy(self, *, update: dict[str, Any]) -> Self:
        """With other values."""
        ...


Config = TypeVar("Config", bound=TrainingConfig)
CPU = torch.device("cpu")
GPU_BATCH_FACTOR = 8
"""A GPU takes this many times the configured batch: small steps leave it idle."""


def device_of(name: str) -> torch.device:
    """The device of a setting; `auto` is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def half(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, some three times as fast; else single precision."""
    native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def half_precision(device: torch.device) -> torch.autocast:
    """Context in which matrix products have the precision of `half`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=half(device) is torch.bfloat16)


def scaled(config: Config, device: torch.device) -> Config:
    """A config whose `batch_size` and `learning_rate` fit the device. The rate of Adam grows with the root of the batch
    (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms")."""
    if device.type != "cuda":
        return config
    batch_size, learning_rate = config.batch_size, config.learning_rate
    change = {"batch_size": batch_size * GPU_BATCH_FACTOR, "learning_rate": learning_rate * math.sqrt(GPU_BATCH_FACTOR)}
    return config.model_copy(update=change)


def repeatable_products() -> None:
    """Have cuBLAS sum in one order. It reads this variable when the first product of a process needs it."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
