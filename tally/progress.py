"""Progress of long work on a terminal: how much is done, the rate, the time left.  Quiet anywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text


class _Rate(ProgressColumn):
    """Units a second, over the last moments."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """As ``12,345 rows/s``; empty before there is a rate."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}/s")


class LongWork:
    """``with LongWork("verifying", "rows", total=rows) as work: ... work.advance(1000)``.

    ``total`` may be unknown (None): then there is a count and a rate, but no time left.
    """

    def __init__(
        self, label: str, unit: str, total: float | None = None, *, shown: bool | None = None
    ) -> None:
        """``shown``: None shows it if stderr is a terminal; False for --json and --quiet."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} " + unit),
            _Rate(unit),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not (sys.stderr.isatty() if shown is None else shown),
        )
        self._task = self._progress.add_task(label, total=total)

    def advance(self, by: float) -> None:
        """``by`` more units are done."""
        self._progress.advance(self._task, by)

    def update(self, done: float, total: float | None = None) -> None:
        """``done`` units are done in all, of ``total`` if that is known by now."""
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it off the terminal."""
        self._progress.stop()


class Steps:
    """``with Steps("reconciling") as steps: ... steps("lots")``: which step is under way, on a terminal."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self._label = label
        self._status = Status(label, console=Console(stderr=True))
        self._shown = not quiet and sys.stderr.isatty()

    def __call__(self, step: str) -> None:
        """The next step begins."""
        self._status.update(f"{self._label}: {step}")

    def __enter__(self) -> Self:
        """Show it."""
        if self._shown:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it off the terminal."""
        self._status.stop()
