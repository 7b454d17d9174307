"""The one training loop: device and precision, learning-rate schedule, deadline, and the choice of the best epoch."""

import copy
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

WARM_UP = 0.1
"""Share of the training in which the learning rate still rises."""
UNMEASURED = math.nan, math.nan
CUT_SHORT = (
    "training stopped at its time limit, after %s of at most %s epochs; the model may be worse. Run the night "
    "on a quieter machine, or raise TASTEFEED_TWO_TOWER__MINUTES"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochResult:
    """One line of the training curve; the validation figures are NaN where nothing is held out."""

    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    validation_recall: float
    validation_ndcg: float
    refit: bool


OnEpoch = Callable[[EpochResult], None]
OnTrial = Callable[[str, float], None]
"""Called with the name and the validation NDCG of every encoder that was tried."""
Losses = Callable[[int], Iterator[tuple[float, Tensor]]]
"""Yields the progress of an epoch (0 to 1) and the loss of each step; epochs count from 0."""
Measure = Callable[[], tuple[float, float]]
"""Recall and NDCG on validation of the module as it is."""
Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Deadline:
    """A wall-clock limit for what should have ended earlier; training stops at the end of an epoch past it."""

    seconds: float = math.inf
    started: float = field(default_factory=time.monotonic)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() - self.started > self.seconds

    def within(self, seconds: float) -> "Deadline":
        """An earlier one, so many seconds from now."""
        left = self.seconds - (time.monotonic() - self.started)
        return Deadline(min(seconds, left))


@dataclass(frozen=True)
class RunWith:
    """What a training reports to, and until when it may run."""

    on_epoch: OnEpoch = lambda _: None
    on_trial: OnTrial = lambda _, __: None
    deadline: Deadline = field(default_factory=Deadline)


@dataclass(frozen=True)
class Training:
    """How a module is trained, whatever it is."""

    optimizer: torch.optim.Optimizer
    learning_rate: float
    epochs: int
    schedule: Schedule
    longest_gradient: float = math.inf
    patience: int | None = None
    deadline: Deadline = field(default_factory=Deadline)


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate at a share of the training: rises in a line, falls as a cosine does."""
    fallen = max(0.0, progress - WARM_UP) / (1 - WARM_UP)
    return min(1.0, (progress + 1e-3) / WARM_UP) * (1 + math.cos(math.pi * min(fallen, 1.0))) / 2


def constant(progress: float) -> float:
    """The peak throughout, for a training whose length is decided by early stopping."""
    del progress
    return 1.0


def run(
    module: nn.Module, losses: Losses, training: Training, measure: Measure | None, on_epoch: OnEpoch
) -> tuple[EpochResult, ...]:
    """Train `module` in place, down to its best epoch on validation where there is one. Returns the curve."""
    curve: list[EpochResult] = []
    best_state = module.state_dict()
    for epoch in range(training.epochs):
        module.train()
        loss = _epoch(module, losses(epoch), training, epoch)
        figures = measure() if measure else UNMEASURED
        rate = float(training.optimizer.param_groups[0]["lr"])
        curve.append(EpochResult(epoch + 1, training.epochs, loss, rate, *figures, refit=measure is None))
        on_epoch(curve[-1])
        best = best_epoch(curve)
        if best == epoch + 1:
            best_state = copy.deepcopy(module.state_dict())
        if training.patience is not None and epoch + 1 - best >= training.patience:
            break
        if training.deadline.passed and epoch + 1 < training.epochs:
            logger.warning(CUT_SHORT, epoch + 1, training.epochs)
            break
    module.load_state_dict(best_state)
    return tuple(curve)


def _epoch(module: nn.Module, steps: Iterator[tuple[float, Tensor]], training: Training, epoch: int) -> float:
    total, count = 0.0, 0
    for share, loss in steps:
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if training.longest_gradient < math.inf:
            torch.nn.utils.clip_grad_norm_(module.parameters(), training.longest_gradient)
        for group in training.optimizer.param_groups:
            group["lr"] = training.learning_rate * training.schedule((epoch + share) / training.epochs)
        training.optimizer.step()
        total, count = total + loss.item(), count + 1  # a tensor kept from each step would pin the heap
    return total / max(count, 1)


def best_epoch(curve: list[EpochResult] | tuple[EpochResult, ...]) -> int:
    """The epoch with the best validation NDCG; the last where nothing was validated."""
    measured = [result for result in curve if not math.isnan(result.validation_ndcg)]
    return max(measured, key=lambda result: result.validation_ndcg).epoch if measured else len(curve)


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
