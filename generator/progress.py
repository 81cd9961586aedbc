"""How far a run has come, told at most a few times a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run.  ``done`` is 0 to 1; ``left_s`` is an estimate, None until there is one."""

    done: float
    rows: int
    requests: int
    elapsed_s: float

    @property
    def rows_per_s(self) -> float:
        """Mean rate so far."""
        return self.rows / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at the mean speed so far."""
        return self.elapsed_s * (1 - self.done) / self.done if self.done > 0.001 else None


ProgressCallback = Callable[[Progress], None]


class Reporter:
    """Counts rows and requests, and calls back at most four times a second and once at the end."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._begun = time.monotonic()
        self._next = self._begun
        self.rows = 0
        self.requests = 0

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begun

    def add(self, rows: int, done: float) -> None:
        """Another request was handed over."""
        self.rows += rows
        self.requests += 1
        now = time.monotonic()
        if self._callback is not None and now >= self._next:
            self._next = now + _EVERY_S
            self._callback(Progress(min(done, 1.0), self.rows, self.requests, now - self._begun))

    def finish(self) -> None:
        """The last word."""
        if self._callback is not None:
            self._callback(Progress(1.0, self.rows, self.requests, self.elapsed_s))


def on_terminal(stream: TextIO | None = None) -> ProgressCallback | None:
    """A callback that keeps one line of a terminal up to date; None where there is no terminal."""
    out = stream or sys.stderr
    if not out.isatty():
        return None

    def show(progress: Progress) -> None:
        left = "" if progress.left_s is None else f", {progress.left_s:,.0f} s left"
        out.write(
            f"\r\x1b[K{progress.done:4.0%}  {progress.rows:,} rows, {progress.rows_per_s:,.0f} rows/s{left}"
        )
        if progress.done >= 1:
            out.write("\n")
        out.flush()

    return show
