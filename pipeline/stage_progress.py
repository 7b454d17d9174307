"""The progress of a long stage: a bar on a terminal, a line every thirty seconds elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.console import console

LINE_EVERY_S = 30.0
Part = TypeVar("Part")
COLUMNS = (TextColumn("{task.description:<20}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[step]}"))


class StageProgress:
    """What the stage that runs now has done."""

    def __init__(self, shown_on: Console = console) -> None:
        """Writes to the console of the program."""
        self._console = shown_on
        self._bar = Progress(*COLUMNS, console=shown_on, transient=True, disable=not shown_on.is_terminal)
        self._task = self._bar.add_task("", total=None, step="")
        self._step = ""

    def report(self, step: str, done: int | None = None, total: int | None = None) -> None:
        """What the stage does now, and how many of its parts are done, where they can be counted."""
        self._step = step if total is None else f"{done} of {total} {step}"
        self._bar.update(self._task, step=self._step, completed=done, total=total)

    def each(self, parts: Sequence[Part], noun: str) -> Iterator[Part]:
        """The parts, one after the other, each reported when it begins."""
        for done, part in enumerate(parts):
            self.report(noun, done, len(parts))
            yield part

    @contextmanager
    def shown(self, stage: str) -> Iterator[None]:
        """Show the progress of a stage while the block runs."""
        self._bar.reset(self._task, description=stage, total=None, step="")
        self._step, ended = "", Event()
        lines = Thread(target=self._print_lines, args=[stage, ended], name="stage-progress", daemon=True)
        if not self._console.is_terminal:
            lines.start()
        try:
            with self._bar:
                yield
        finally:
            ended.set()

    def _print_lines(self, stage: str, ended: Event) -> None:
        started = time.monotonic()
        while not ended.wait(LINE_EVERY_S):
            seconds = time.monotonic() - started
            self._console.print(
                f"{stage:<20} {seconds:>6.0f} s  running{self._step and f': {self._step}'}", markup=False
            )
