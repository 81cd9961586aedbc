"""The guide's review commands are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_command

from tally.commands.reviews import app

GUIDE: Final = Path(__file__).resolve().parents[3] / "docs" / "models.md"
LINES: Final = re.findall(r"^tally reviews (.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_command_is_shown() -> None:
    assert {line.split()[0] for line in LINES} == {"list", "next", "decide", "release"}
    decisions = {line.split()[2] for line in LINES if line.startswith("decide")}
    assert decisions == {"confirmed", "corrected", "rejected"}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_guide_has_every_option_that_its_command_needs(line: str) -> None:
    name, *words = shlex.split(line, comments=True)
    group = get_command(app)
    with group.make_context("reviews", [name, *words]) as context:
        _, command, rest = group.resolve_command(context, [name, *words])  # type: ignore[attr-defined]
        command.make_context(name, rest, parent=context)
