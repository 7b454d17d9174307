"""What the gates said of one night."""

from dataclasses import dataclass

from contracts.errors import GateRefused
from evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Verdict:
    """What one gate saw. `measured` beside `wanted` are the two numbers it compared."""

    gate: str
    passed: bool
    measured: float
    wanted: float
    sentence: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Verdicts:
    """All gates of one night. `judged` is false where too few users were measured to compare rankings."""

    verdicts: tuple[Verdict, ...]
    judged: bool
    notes: tuple[str, ...] = ()
    """What could not be judged, and why."""

    @property
    def passed(self) -> bool:
        """Whether the release may serve."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The gates that refuse."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def require(verdicts: Verdicts) -> None:
    """Raise `GateRefused` with the sentence of every gate that failed."""
    if not verdicts.passed:
        why = "; ".join(verdict.sentence for verdict in verdicts.failed)
        raise GateRefused(f"the release is refused, the old one keeps serving: {why}")
