"""The console: plain lines everywhere, colour and progress bars on a terminal."""

from typing import Any

from rich.console import Console

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
