"""What people see: plain lines anywhere, colour and progress bars on a terminal."""

from typing import Any

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)

SHOWN = (int, float, str)


def say(stage: str, summary: dict[str, Any]) -> None:
    """One line a finished stage: its seconds, then its short figures."""
    figures = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in summary.items()
        if name != "seconds" and isinstance(value, SHOWN)
    )
    console.print(f"[bold]{stage:<20}[/] {summary['seconds']:>6.1f} s  {figures}")
