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
    yield from _conclusion(result)


def _conclusion(result: Against) -> Iterator[RenderableType]:
    if not result.holds:
        yield Text.assemble(("REWRITTEN", "bold red"), "  this is not the history that was sealed")
        return
    if not result.covered:
        yield Text.assemble(("NOT WITNESSED", "bold red"), "  no head has what the policy asks for")
        return
    yield Text.assemble(
        ("UNCHANGED", "bold green" if result.ok else "bold yellow"),
        f"  the first {result.covered:,} leaves are what they were when that head was signed",
    )
    if result.uncovered_rows:
        yield Text(f"  {result.uncovered_rows:,} rows came after it: of them it says nothing", style="yellow")
    if not result.fresh:
        yield Text.assemble(
            ("NOT ASKED", "bold red"),
            "  too few witnesses gave their own last head: one that contradicts this may be kept back",
        )


def _held(one: Held) -> Text:
    mark, style = _MARKS[one.verdict]
    head = one.anchor.checkpoint
    text = Text.assemble((mark, style), f"  {one.anchor.source}: {head.size:,} leaves, {one.anchor.vouched}")
    if one.anchor.wanting is not None:
        text.append(f" ({one.anchor.wanting})", style="yellow")
    if one.verdict is not Verdict.HOLDS:
        text.append(f"\n  {one.detail}")
    return text
