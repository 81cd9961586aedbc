"""What a document is made of: cells, tables, paragraphs, charts, in sections after a front page.

HTML and PDF each render every kind of block, and nothing else.  Whoever renders escapes the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from audit.reporting.figures import NONE, STATUS_WORDS, clipped, count, place
from audit.reporting.marks import Chart
from audit.reporting.model import Position, Status

HEAT_STEPS: Final = 6
"""Shades of a heat table; the figure stands in each cell, so that no shade must be read exactly."""


LONGEST_PROSE: Final = 600
"""Characters of a sentence that came from elsewhere."""


Tone = Literal["", "good", "warn", "bad", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Args:
        text: what it says.
        sub: a second line, smaller.
        ref: names the figure for ``tally explain``.
        tone: of a chip, a word in a box; "" for plain text.
        heat: 0 (none) to HEAT_STEPS.
        full: the whole text where ``text`` leaves out some.
    """

    text: str
    sub: str = ""
    ref: str = ""
    tone: Tone = ""
    heat: int = 0
    full: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: head, unit below it, how its cells are set, and its part of the width."""

    head: str
    width: float
    kind: Literal["text", "number", "code"] = "text"
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with at least one row; ``foot`` is the line of sums."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    foot: tuple[Cell, ...] = ()
    small: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; ``note``: in small type."""

    text: str
    note: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """What one types into a shell."""

    text: str


@dataclass(frozen=True, slots=True)
class Details:
    """A table with a title, which a screen may fold away; ``open``: it isn't folded at first."""

    title: str
    blocks: tuple[Block, ...]
    open: bool


Block = Text | Heading | Command | Table | Chart | Details


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered section."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """The first page; ``broken``: the ledger is, and the page must say so before anything else."""

    operator: str
    title: str
    period: str
    about: tuple[tuple[str, str], ...]
    headline: str
    tone: Tone
    verdict: str
    sentences: tuple[str, ...]
    broken: bool
    ledger: str
    ledger_tone: Tone
    ledger_words: str
    figures: Table
    chart: Chart


@dataclass(frozen=True, slots=True)
class Document:
    """All of it; ``digest`` is the report's."""

    digest: str
    front: Front
    sections: tuple[Section, ...]


SHOWN_ROWS: Final = 200


_STATUS_TONES: Final[dict[Status, Tone]] = {"PASSED": "good", "REVIEW_REQUIRED": "warn", "FAILED": "bad"}


def status_cell(status: Status) -> Cell:
    """A rule's or a lot's result, as a word in a box."""
    return Cell(STATUS_WORDS[status], tone=_STATUS_TONES[status])


def material_name(material: str) -> str:
    """A material for people; the empty one is that which no machine declared."""
    return clipped(material, 48) if material else "(none declared)"


def foreign(text: str, longest: int = 96) -> Cell:
    """Text from elsewhere."""
    short = clipped(text, longest)
    return Cell(short, full="" if short == text else text)


def short_place(position: Position) -> str:
    """Where a row lies; the chain's name is cut if it is long, the row's number never."""
    return place(Position(clipped(position.stream, 24), clipped(position.chain, 40), position.seq))


def positions(positions: tuple[Position, ...]) -> Cell:
    """A cell with the first three places in the ledger."""
    if not positions:
        return Cell(NONE)
    text = "; ".join(short_place(one) for one in positions[:3])
    if len(positions) > 3:
        text += f" and {len(positions) - 3:,} more"
    return Cell(text)


def left_out(rows: Sequence[object], most: int, one: str) -> Iterable[Text]:
    """A note, if only the first ``most`` of the rows are shown."""
    if len(rows) > most:
        yield Text(
            f"The first {most:,} of {count(len(rows), one)} are shown; the workbook has all.", note=True
        )


def shade(number: int, most: int) -> int:
    """The shade of a heat table, from 0 to ``HEAT_STEPS``; what isn't zero is never unshaded."""
    return 0 if number <= 0 or most <= 0 else max(1, -(-number * HEAT_STEPS // most))
