"""What people see: plain lines anywhere, colour and progress bars on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from models.two_tower import EpochResult

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console = Console(highlight=False, soft_wrap=True, width=130)  # a log has no width: let tables breathe

SHOWN = (int, float, str)


def say(stage: str, summary: dict[str, Any]) -> None:
    """One line a finished stage: its seconds, then its short figures."""
    figures = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in summary.items()
        if name != "seconds" and isinstance(value, SHOWN)
    )
    console.print(f"[bold]{stage:<20}[/] {summary['seconds']:>6.1f} s  {figures}")


@contextmanager
def epochs_bar(cuts: int) -> Iterator[Callable[["EpochResult"], None]]:
    """A bar that moves with each epoch on a terminal; plain output stays quiet until the stage has ended."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"two_tower, {cuts} cuts", total=None)

        def on_epoch(epoch: "EpochResult") -> None:
            progress.update(task, advance=1, description=f"two_tower, epoch {epoch.epoch}, loss {epoch.loss:.3f}")

        yield on_epoch
