"""Where a training runs, and which precision of matrix products follows from it."""

import os

import torch

CPU = torch.device("cpu")


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


def repeatable_products() -> None:
    """Make cuBLAS sum in one order. It reads this variable at the first product of a process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
