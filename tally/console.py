"""What commands write: results on stdout, as text or as JSON; everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

GOOD: Final = 0
FOUND: Final = 1
COULD_NOT_RUN: Final = 2
INTERRUPTED: Final = 130
_WIDTH_IN_A_PIPE: Final = 160

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def output() -> Console:
    """Stdout; in a pipe wide enough that a table's lines are not broken."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE, highlight=False)


def print_json(value: object) -> None:
    """One JSON value, indented, on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    sys.stdout.flush()


def print_json_line(value: object) -> None:
    """One JSON value on one line, at once, for a command that goes on."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def note(subject: str, what: str) -> None:
    """A line on stderr about what happens."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(subject)}[/bold]  {escape(what)}")


def fail(message: str) -> None:
    """The one line of an error, on stderr."""
    first, *_ = message.strip().splitlines() or ["unknown error"]
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]tally:[/red] {escape(first)}")
