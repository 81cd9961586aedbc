"""Tells what happens and keeps what came out; a check that fails makes the whole demo fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console

console: Final = Console(width=110, highlight=False)


class Story:
    """The demo's account: lines for the reader, figures for ``summary.json``."""

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}
        self.failures: list[str] = []
        self._number = 0

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A numbered step; its time is kept."""
        self._number += 1
        console.print(f"\n[bold]{self._number}. {title}[/]")
        started = time.monotonic()
        yield
        self.summary.setdefault("seconds", {})[title] = round(time.monotonic() - started, 1)

    def say(self, text: str) -> None:
        """A line of the story."""
        console.print(f"   {text}")

    def check(self, holds: bool, claim: str) -> None:
        """A claim that the demo makes good or fails."""
        console.print(f"   [green]✓[/] {claim}" if holds else f"   [red]✗ NOT SO:[/] {claim}")
        if not holds:
            self.failures.append(claim)
