"""A report as PDF: the same document as the HTML, on A4, with vector charts and the digest at every foot.

 Bytes are deterministic (reportlab's invariant mode).  Only PDF's built-in Helvetica and Courier are used,
whose characters are those of Windows-1252: any other is printed as its Unicode number in angle quotes, and
a sentence at the end says so.  Text is drawn as it is, never as reportlab's paragraph markup, which can
name files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import pairwise
from typing import Any, Final

from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    PageBreak,
    PageTemplate,
    Spacer,
)
from reportlab.platypus import (
    Table as Grid,
)

from audit.reporting.blocks import (
    Block,
    Cell,
    Column,
    Command,
    Details,
    Document,
    Front,
    Heading,
    Table,
    Text,
)
from audit.reporting.document import document
from audit.reporting.marks import Chart
from audit.reporting.model import Report
from audit.reporting.pdf_parts import (
    ACCENT,
    BAD,
    BOLD,
    CODE,
    INK,
    ITALIC,
    MUTED,
    PAPER,
    PLAIN,
    RULE,
    TONES,
    CellWords,
    Drawing,
    SectionHead,
    Typeface,
    Words,
)

_PAGE_WIDTH, _PAGE_HEIGHT = A4
_MARGIN: Final = 17 * mm
_WIDTH: Final = _PAGE_WIDTH - 2 * _MARGIN
_HEAT: Final = ("#ffffff", "#eef4f6", "#dfebee", "#cfe1e6", "#bdd6dd", "#a9cad3", "#93bcc8")


def render(report: Report) -> bytes:
    """The report as PDF.

    Raises:
        Unrenderable: as ``as_json.render``.
    """
    return render_document(document(report))


def render_document(shown: Document) -> bytes:
    """The document as PDF."""
    buffer = BytesIO()
    typeface = Typeface()
    story = [*_front(shown, typeface)]
    for number, section in enumerate(shown.sections, 1):
        story += [
            CondPageBreak(_room(section.blocks[0])),
            SectionHead(number, typeface.printable(section.title), section.key),
        ]
        story += _blocks(section.blocks, typeface)
        story.append(Spacer(0, 9 * mm))
    if typeface.replaced:
        story.append(
            Words(
                "A number between angle quotes, such as \u2039673A\u203a, stands for a character that this "
                "file's fonts lack, by its Unicode number; the HTML and the JSON have the character itself.",
                size=7.5,
                colour=MUTED,
            )
        )
    operator = typeface.printable(shown.front.operator)
    template = BaseDocTemplate(
        buffer,
        pagesize=A4,
        invariant=1,
        pageCompression=1,
        lang="en",
        title=f"{operator}, {typeface.printable(shown.front.period)}: reconciliation report",
        author=operator,
        subject=f"Report digest {shown.digest}",
        creator="Tally",
    )
    frame = Frame(_MARGIN, 18 * mm, _WIDTH, _PAGE_HEIGHT - 34 * mm, 0, 0, 0, 0, id="page")
    template.addPageTemplates([PageTemplate("page", [frame])])
    template.build(story, canvasmaker=_footed(shown.digest))
    return buffer.getvalue()


def _room(first: Block) -> float:
    """What a section's head needs below it on its page: its first chart, or some lines."""
    points: float = mm
    return first.height * 1.05 + 18 * points if isinstance(first, Chart) else 45 * points


def _footed(digest: str) -> type[Canvas]:
    """A canvas that writes the foot of each page when the number of pages is known."""

    class Footed(Canvas):  # type: ignore[misc]
        """Keeps each page until the last one is drawn."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                self.setStrokeColor(RULE)
                self.setLineWidth(0.5)
                self.line(_MARGIN, 13.5 * mm, _PAGE_WIDTH - _MARGIN, 13.5 * mm)
                self.setFillColor(MUTED)
                self.setFont(PLAIN, 6.5)
                self.drawString(_MARGIN, 10 * mm, f"Report digest {digest}")
                self.drawRightString(_PAGE_WIDTH - _MARGIN, 10 * mm, f"{number} / {len(self._pages)}")
                super().showPage()
            super().save()

    return Footed


def _front(shown: Document, typeface: Typeface) -> Iterator[Flowable]:
    front, of = shown.front, typeface.printable
    if front.broken:
        words = f"The ledger is broken. {front.ledger_words}"
        yield Words(of(words), font=BOLD, size=11, colour=PAPER, fill=BAD, after=6 * mm)
    yield Words("RECONCILIATION REPORT", font=BOLD, size=8, colour=ACCENT, after=4 * mm)
    yield Words(of(front.operator), font=BOLD, size=22)
    yield Words(of(front.title), size=11, colour=MUTED, after=0.5 * mm)
    yield Words(of(front.period), size=11, colour=MUTED, after=6 * mm)
    tone = TONES[front.tone]
    yield Words(of(front.verdict), font=BOLD, size=8.5, colour=tone, bar=tone, after=1.5 * mm)
    yield Words(of(front.headline), font=BOLD, size=16, colour=tone, bar=tone)
    for sentence in front.sentences:
        yield Words(of(sentence), bar=tone, after=1 * mm)
    yield Spacer(0, 5 * mm)
    yield _front_figures(front, typeface)
    yield Spacer(0, 5 * mm)
    left = [Words("Against materiality", font=BOLD, size=9, after=1 * mm), Drawing(front.chart, typeface)]
    right = [
        Words("The ledger", font=BOLD, size=9),
        CellWords(Cell(of(front.ledger), tone=front.ledger_tone), font=BOLD, size=8.5, right=False),
        Spacer(0, 2 * mm),
        Words(of(front.ledger_words), size=8.5),
    ]
    yield Grid([[left, right]], colWidths=[_WIDTH * 0.66, _WIDTH * 0.34], style=_PAIR)
    yield Spacer(0, 4 * mm)
    about = [*front.about, ("Digest", shown.digest)]
    rows = [
        [
            CellWords(Cell(name), font=PLAIN, size=8, right=False, colour=MUTED),
            CellWords(Cell(of(value)), font=CODE if name == "Digest" else PLAIN, size=8, right=False),
        ]
        for name, value in about
    ]
    yield Grid(rows, colWidths=[_WIDTH * 0.13, _WIDTH * 0.87], style=_ABOUT)
    yield PageBreak()


_PAIR: Final = [
    ("LEFTPADDING", (0, 0), (0, 0), 0),
    ("RIGHTPADDING", (-1, 0), (-1, 0), 0),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]
_ABOUT: Final = [
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 1.2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1.2),
    ("TOPPADDING", (0, 0), (-1, 0), 6),
    ("LINEABOVE", (0, 0), (-1, 0), 0.5, RULE),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]


def _front_figures(front: Front, typeface: Typeface) -> Flowable:
    """The headline figures, the reported and the supported one larger."""
    of = front.figures
    grid = [[_head(column, typeface, 8) for column in of.columns]]
    for number, row in enumerate(of.rows):
        large, aside = number in {0, 5}, number == 6
        grid.append(
            [
                CellWords(
                    _printable(cell, typeface),
                    font=BOLD if large else ITALIC if aside else PLAIN,
                    size=10.5 if large else 9,
                    right=column.kind == "number",
                    colour=MUTED if aside or front.broken else ACCENT if number == 5 else INK,
                )
                for cell, column in zip(row, of.columns, strict=True)
            ]
        )
    style = [*_RULED, ("VALIGN", (0, 1), (-1, -1), "TOP")]
    if len(of.rows) > 5:
        style.append(("LINEABOVE", (0, 6), (-1, 6), 1, INK))
    return Grid(grid, colWidths=_widths(of), style=style, repeatRows=1)


_RULED: Final = [
    ("LINEBELOW", (0, 0), (-1, 0), 1, INK),
    ("LINEBELOW", (0, 1), (-1, -1), 0.4, RULE),
    ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
    ("VALIGN", (0, 1), (-1, -1), "TOP"),
    ("TOPPADDING", (0, 0), (-1, -1), 2.4),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.8),
    ("LEFTPADDING", (0, 0), (-1, -1), 3),
    ("RIGHTPADDING", (0, 0), (-1, -1), 3),
    ("LEFTPADDING", (0, 0), (0, -1), 0),
    ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
]


def _widths(table: Table) -> list[float]:
    whole = sum(column.width for column in table.columns)
    return [_WIDTH * column.width / whole for column in table.columns]


def _printable(cell: Cell, typeface: Typeface) -> Cell:
    return Cell(typeface.printable(cell.text), typeface.printable(cell.sub), tone=cell.tone)


def _head(column: Column, typeface: Typeface, size: float) -> Flowable:
    cell = Cell(typeface.printable(column.head), typeface.printable(column.unit))
    return CellWords(cell, font=BOLD, size=size, right=column.kind == "number", head=True)


def _blocks(blocks: Iterable[Block], typeface: Typeface) -> Iterator[Flowable]:
    for block in blocks:
        if isinstance(block, Text):
            size, colour = (7.5, MUTED) if block.note else (9, INK)
            yield Words(typeface.printable(block.text), size=size, colour=colour)
        elif isinstance(block, Heading):
            yield CondPageBreak(28 * mm)
            yield Spacer(0, 2.5 * mm)
            yield Words(typeface.printable(block.text), font=BOLD, size=9.5, after=1 * mm)
        elif isinstance(block, Command):
            yield Words(typeface.printable(block.text), font=CODE, size=8.5, after=3 * mm)
        elif isinstance(block, Chart):
            yield Drawing(block, typeface)
        elif isinstance(block, Details):
            yield CondPageBreak(28 * mm)
            yield Spacer(0, 2 * mm)
            yield Words(typeface.printable(block.title), font=BOLD, size=8.5, after=0.8 * mm)
            yield from _blocks(block.blocks, typeface)
        else:
            yield _grid(block, typeface)
            yield Spacer(0, 2 * mm)


def _grid(table: Table, typeface: Typeface) -> Flowable:
    size = 6.8 if table.small else 7.6
    grid: list[list[Flowable]] = [[_head(column, typeface, size) for column in table.columns]]
    style: list[tuple[Any, ...]] = [*_RULED]
    for number, row in enumerate([*table.rows, *([table.foot] if table.foot else [])], 1):
        foot = number > len(table.rows)
        cells = []
        for index, (cell, column) in enumerate(zip(row, table.columns, strict=True)):
            code = column.kind == "code"
            cells.append(
                CellWords(
                    _printable(cell, typeface),
                    font=BOLD if foot else CODE if code else PLAIN,
                    size=size * (0.92 if code else 1),
                    right=column.kind == "number",
                    sub_font=CODE if code else PLAIN,
                )
            )
            if cell.heat:
                style.append(("BACKGROUND", (index, number), (index, number), HexColor(_HEAT[cell.heat])))
        grid.append(cells)
    for index, (left, right) in enumerate(pairwise(table.columns), 1):
        if left.kind == "number" and right.kind != "number":
            style.append(("LEFTPADDING", (index, 0), (index, -1), 9))
    if table.foot:
        style += [("LINEABOVE", (0, -1), (-1, -1), 1, INK), ("LINEBELOW", (0, -1), (-1, -1), 0, PAPER)]
    return Grid(grid, colWidths=_widths(table), style=style, repeatRows=1)
