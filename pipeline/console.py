"""The console: plain lines everywhere, colour and progress bars on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from models.two_tower import EpochResult

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console = Console(highlight=False, soft_wrap=True, width=130)  # a log has no width: tables get 130 columns

PRINTED = (int, float, str)


def print_stage(stage: str, summary: dict[str, Any]) -> None:
    """Print one line for a finished stage: its seconds, then its figures."""
    figures = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in summary.items()
        if name != "seconds" and isinstance(value, PRINTED)
    )
    console.print(f"[bold]{stage:<20}[/] {summary['seconds']:>6.1f} s  {figures}")


@contextmanager
def epochs_bar(cutoffs: int) -> Iterator[Callable[["EpochResult"], None]]:
    """A bar that advances with each epoch on a terminal; elsewhere it prints nothing."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"two_tower, {cutoffs} cutoffs", total=None)

        def on_epoch(epoch: "EpochResult") -> None:
            progress.update(task, advance=1, description=f"two_tower, epoch {epoch.epoch}, loss {epoch.loss:.3f}")

        yield on_epoch
