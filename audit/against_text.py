"""For people: a ledger held against signed heads."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from audit.against import Against, Held, Verdict

_MARKS = {
    Verdict.HOLDS: ("HOLDS", "bold green"),
    Verdict.OLDER: ("OLDER STATE", "bold red"),
    Verdict.CONTRADICTED: ("CONTRADICTED", "bold red"),
}


def against_text(result: Against) -> Group:
    """The result as Rich renderables; without colours it is plain text."""
    return Group(*_parts(result))


def _parts(result: Against) -> Iterator[RenderableType]:
    yield Text()
    yield Text("Held against heads that were signed before:")
    for one in result.held:
        yield Padding(_held(one), (0, 0, 0, 2))
    for sentence in result.unasked:
        yield Padding(Text(f"- {sentence}"), (0, 0, 0, 2))
    if result.unsealed:
        yield Text(
            f"{result.unsealed:,} rows came after the last sealing; no head covers them yet.", style="yellow"
        )
    if result.ok:
        yield Text.assemble(
            ("UNCHANGED", "bold green"), f"  {result.size:,} leaves are what they were when they were sealed"
        )
    elif all(one.verdict is Verdict.HOLDS for one in result.held):
        yield Text.assemble(("NOT WITNESSED", "bold red"), "  no head has what the policy asks for")
    else:
        yield Text.assemble(("REWRITTEN", "bold red"), "  this is not the history that was sealed")


def _held(one: Held) -> Text:
    mark, style = _MARKS[one.verdict]
    head = one.anchor.checkpoint
    text = Text.assemble((mark, style), f"  {one.anchor.source}: {head.size:,} leaves, {one.anchor.vouched}")
    if one.anchor.wanting is not None:
        text.append(f" ({one.anchor.wanting})", style="yellow")
    if one.verdict is not Verdict.HOLDS:
        text.append(f"\n  {one.detail}")
    return text
